"""A columnar copy of the store that answers questions over millions of rows. `asking.py` is the way."""
