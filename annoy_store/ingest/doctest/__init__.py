"""Functions with tests, read as samples without running them. `importer.py` is the entry point."""
