"""Annoy Store: an SQL-backed, incremental store that turns raw code into verified reasoning data.

Start with `interfaces` (the architecture), then `stages/__init__.py` (the pipeline) and one stage.
The command line is `annoy`; see the README.

Decision: the package logs to the logger `annoy_store` and below, and is silent by default; the
command line prints warnings, and information with `-v`, on stderr.
"""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())
