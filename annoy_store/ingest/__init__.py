"""Bring data into a store: raw code, files of the CodeI/O scripts, functions with tests; takedowns."""
