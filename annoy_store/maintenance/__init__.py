"""Check, rerun, purge, back up, copy and merge stores."""
