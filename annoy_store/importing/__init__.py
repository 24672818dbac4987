"""Files of other pipelines, taken over with their lineage. `files.py` is the way."""
