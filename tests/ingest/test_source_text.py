"""Source files in any declared encoding, and notebooks."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.ingest.source_text import (
    NotText,
    decode_source,
    encoding_by_mark,
    notebook_source,
)

CODE = "# -*- coding: {} -*-\nx = 'é'\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("x = 'é'\n".encode(), "x = 'é'\n"),
        ("\ufeffx = 'é'".encode(), "x = 'é'"),
        ("x = 'é'".encode("utf-16"), "x = 'é'"),
        ("\ufeffx = 'é'".encode("utf-16-be"), "x = 'é'"),
        ("x = 'é'".encode("utf-32"), "x = 'é'"),
        ("x = 1\n".encode("utf-16-le"), "x = 1\n"),
        ("x = 1\n".encode("utf-16-be"), "x = 1\n"),
        (CODE.format("latin-1").encode("latin-1"), CODE.format("latin-1")),
        (CODE.format("cp1252").encode("cp1252"), CODE.format("cp1252")),
        (
            ("#!/bin/python\r\n" + CODE.format("cp1251").replace("é", "я")).encode("cp1251"),
            "#!/bin/python\r\n" + CODE.format("cp1251").replace("é", "я"),
        ),
        (CODE.format("utf-8").encode(), CODE.format("utf-8")),
        (b"x = 1\n# coding: nonsense\n", "x = 1\n# coding: nonsense\n"),
    ],
)
def test_decode_source_reads_as_python_does(data: bytes, text: str) -> None:
    assert decode_source(data) == text


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"caf\xe9 = 1", "not_utf8"),
        (b"x = 1\n\n# coding: latin-1\n\xe9", "not_utf8"),
        (b"# coding: nonsense\n", "unknown_encoding"),
        (b"# coding: zip\n", "unknown_encoding"),
        (b"# coding: rot13\n", "unknown_encoding"),
        (b"# coding: ascii\n\xe9", "not_decodable"),
        (b"\xff\xfex", "not_decodable"),
        (b"\x00\x01\x02\x03", "binary"),
    ],
)
def test_decode_source_tells_what_is_no_text(data: bytes, word: str) -> None:
    with pytest.raises(NotText) as caught:
        decode_source(data)
    assert caught.value.args[0] == word


@given(st.binary(max_size=80))
def test_decode_source_gives_text_or_says_why(data: bytes) -> None:
    with contextlib.suppress(NotText):
        assert isinstance(decode_source(data), str)


def test_encoding_by_mark_tells_utf_32_from_utf_16() -> None:
    assert encoding_by_mark("x".encode("utf-32")) == "utf-32"
    assert encoding_by_mark("x".encode("utf-16")) == "utf-16"
    assert encoding_by_mark(b"x") is None


def cell(source: object, kind: str = "code") -> dict[str, object]:
    return {"cell_type": kind, "source": source, "outputs": [{"text": "secret"}]}


def test_notebook_source_is_the_code_of_the_cells() -> None:
    cells = [
        cell(["import os\n", "%matplotlib inline\n", "x = 1"]),
        cell("# words", "markdown"),
        cell("%%bash\nls"),
        cell("%%time\nfor n in x:\n    !ls {n}\n    print(n)"),
        cell("x?"),
        cell(""),
    ]
    text, language = notebook_source(json.dumps({"cells": cells}).encode())
    assert language == "python"
    assert text == (
        "import os\n# %matplotlib inline\nx = 1\n\n\n"
        "# %%time\nfor n in x:\n    # !ls {n}\n    print(n)\n\n\n# x?\n"
    )
    compile(text, "notebook", "exec")


def test_notebook_source_reads_older_notebooks_and_their_language() -> None:
    book = {
        "worksheets": [{"cells": [{"cell_type": "code", "input": ["a\n", "b"]}]}],
        "metadata": {"kernelspec": {"language": "julia"}},
    }
    assert notebook_source(json.dumps(book).encode()) == ("a\nb\n", "julia")
    assert notebook_source(b"{}") == ("", "python")


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["cells", "worksheets", "cell_type", "source", "metadata"]), inner
        )
    ),
)


@given(JSON)
def test_notebook_source_raises_nothing_else(value: object) -> None:
    with contextlib.suppress(NotText):
        notebook_source(json.dumps(value).encode())
