"""A benchmark of held-out samples: built, scored, compared. Imported by report and commands."""
