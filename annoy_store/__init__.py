"""Annoy Store: an SQL-backed, incremental store that turns raw code into verified reasoning data.

Begin with `interfaces.py` (the architecture on one page), then `stages/__init__.py` (the pipeline)
and one stage. The command line is `annoy`; see the README.
"""
