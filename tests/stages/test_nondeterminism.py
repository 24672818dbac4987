"""Calls whose result no seed controls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.stages.nondeterminism import nondeterministic_call


@pytest.mark.parametrize(
    ("code", "use"),
    [
        ("import time\nx = time.time()", "clock"),
        ("from time import perf_counter as now\nx = now()", "clock"),
        ("import datetime\nx = datetime.datetime.now()", "clock"),
        ("from datetime import date\nx = date.today()", "clock"),
        ("import time\nx = time.strftime('%Y')", "clock"),
        ("import uuid\nx = uuid.uuid4()", "entropy"),
        ("import secrets as s\nx = s.token_hex()", "entropy"),
        ("import os\nx = os.urandom(4)", "entropy"),
        ("import random\nx = random.SystemRandom().random()", "entropy"),
        ("import numpy as np\nx = np.random.default_rng().random()", "unseeded"),
        ("import random\nx = random.Random()", "unseeded"),
        ("import time\ntime.sleep(1)", None),
        ("import time\nx = time.strftime('%Y', (2000, 1, 1, 0, 0, 0, 0, 1, 0))", None),
        ("import time\nx = time.gmtime(0)", None),
        ("import random\nx = random.Random(4).random()", None),
        ("import random\nx = random.random()", None),
        ("import time", None),
        ("class time:\n    def time(): return 1\nx = time.time()", None),
        ("def broken(", None),
    ],
)
def test_nondeterministic_call_finds_the_kind(code: str, use: str | None) -> None:
    assert nondeterministic_call(code) == use


@given(st.text())
def test_nondeterministic_call_never_raises(code: str) -> None:
    assert nondeterministic_call(code) in {None, "clock", "entropy", "unseeded"}
