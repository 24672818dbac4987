"""A columnar copy of the store for queries over millions of rows. `query.py` is the entry point."""
