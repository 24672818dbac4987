"""A columnar copy of the store for queries over millions of rows; `query` is the entry point."""
