"""Training splits: from the store's chains to files that trainers load. `export.py` is the way."""
