"""Sessions of DuckDB and the transfer of rows by pyarrow."""

from __future__ import annotations

import subprocess
import sys


def test_prevent_pandas_import_is_for_pyarrow_alone() -> None:
    code = (
        "import sys\n"
        "from annoy_store.db.duckdb_session import prevent_pandas_import\n"
        "prevent_pandas_import()\n"
        "import pyarrow\n"
        "pyarrow.array([1]), pyarrow.table({'x': [1.5, None]}).to_pylist()\n"
        "print('pandas' in sys.modules)\n"
        "import pandas\n"
        "print(pandas.DataFrame({'x': [1]}).x.sum())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "1"]
