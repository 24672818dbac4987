"""Operations on a whole store: check, purge, rerun, backup, copy, merge. Imported by commands."""
