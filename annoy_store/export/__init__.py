"""Training data: from the store's chains to files that trainers load.

`export.py` is the entry point. Imported by commands.
"""
