"""Files of the CodeI/O scripts, imported with their lineage. `importer.py` is the entry point."""
