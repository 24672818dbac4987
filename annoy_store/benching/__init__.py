"""A benchmark of one's own: made of held-out samples, scored, compared."""
