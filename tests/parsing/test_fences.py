"""Fences end where their author ended them, docstrings that show fences included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.parsing.fences import Fence, find_fences, match_fence


def texts(text: str) -> list[tuple[str, str]]:
    return [(fence.language, fence.text) for fence in find_fences(text.split("\n"))]


def test_find_fences_gives_language_content_and_place() -> None:
    lines = ["a", "  ```Python title=x", "  x = 1", "y = 2", "  ```", "b", "~~~~", "```", "~~~~"]
    assert list(find_fences(lines)) == [
        Fence(1, 4, "python", ("x = 1", "y = 2")),
        Fence(6, 8, "", ("```",)),
    ]


def test_find_fences_leaves_the_last_one_open() -> None:
    assert list(find_fences(["```", "x", ""])) == [Fence(0, None, "", ("x", ""))]


@pytest.mark.parametrize("quote", ['"""', "'''"])
@pytest.mark.parametrize(
    "shown", ["```\nx\n```", "```python\nx\n```", "    ```\n    x", "~~~\nx\n~~~\n```", "a '\n```"]
)
def test_find_fences_looks_past_docstrings(quote: str, shown: str) -> None:
    code = f"def f():\n    r{quote}Shows it's\n{shown}\n    {quote}\n    return 1  # it's {quote}"
    assert texts(f"```python\n{code}\n```\n```\ny\n```") == [("python", code), ("", "y")]


@pytest.mark.parametrize(
    "code", ["def f():\n    '''Never ends\n    return 1", 'x = ("""', "a = '''\nb"]
)
def test_find_fences_lets_an_open_string_swallow_nothing(code: str) -> None:
    other = "def g():\n    '''Ends.'''\n    \"\"\"Ends.\"\"\""
    assert texts(f"```\n{code}\n```\nwords\n```\n{other}\n```") == [("", code), ("", other)]


def test_match_fence_ignores_invisible_characters() -> None:
    found = match_fence("\u200b\u00a0```python\ufeff")
    assert found is not None
    assert found.groups() == (" ", "```", "python")
    assert match_fence("# ```") is None


@given(st.lists(st.sampled_from(["```", "~~~", "```py", "'''", '"""', "x", "(", "\\", "#'''"])))
def test_find_fences_are_in_order_and_apart(lines: list[str]) -> None:
    at = 0
    for fence in find_fences(lines):
        end = len(lines) if fence.end is None else fence.end
        assert at <= fence.start < end
        assert len(fence.content) == end - fence.start - 1
        at = end + 1
