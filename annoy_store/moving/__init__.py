"""A whole store moved, merged with another, or backed up."""
