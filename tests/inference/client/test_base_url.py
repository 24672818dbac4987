"""Base URLs: what is refused, and by which words; which hosts are near."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.errors import UsageError
from annoy_store.inference.client.base_url import (
    check_base_url,
    is_local,
    is_loopback,
    normalised_url,
    url_query,
    without_query,
)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://host:abc/v1", "port"),
        ("http://host:99999/v1", "port"),
        ("http://host:65536/v1", "port"),
        ("http://host:0/v1", "port"),
        ("http://host:-1/v1", "port"),
        ("http://host:80:80/v1", "port"),
        ("http://host: 80/v1", "no base URL"),
        ("http://[::1/v1", "is none"),
        ("http://[::g]/v1", "is none"),
        ("host:8000/v1", "no base URL"),
        ("127.0.0.1:8000", "no base URL"),
        ("ftp://host/v1", "no base URL"),
        ("http:///v1", "no base URL"),
        ("http://ho st/v1", "no base URL"),
        ("http://host/v1#part", "'#'"),
        ("", "no base URL"),
        ("https://me:hidden@host/v1", "holds a key"),
        ("https://host/v1?key=hidden", "holds a key"),
        ("https://host/v1?api-key=hidden", "holds a key"),
        ("https://host/v1?api-version=1&Subscription-Key=hidden", "holds a key"),
        ("https://host/v1?sig=hidden", "holds a key"),
        ("https://host/v1?access_token=hidden", "holds a key"),
    ],
)
def test_check_base_url_says_what_is_wrong(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_base_url(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "https://host.example",
        "http://[::1]:8000/v1",
        "http://host:65535/v1",
        "https://me.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
        "https://host/v1?provider=eu&stream=false",
    ],
)
def test_check_base_url_keeps_what_is_right(url: str) -> None:
    assert check_base_url(f"  {url}/ ") == url


@given(st.text(max_size=40) | st.text(max_size=30).map(lambda text: f"http://{text}/v1"))
def test_check_base_url_of_any_text_is_a_url_or_a_usage_error(text: str) -> None:
    try:
        url = check_base_url(text)
    except UsageError:
        return
    assert normalised_url(url).startswith(("http://", "https://"))
    assert isinstance(is_local(url) and is_loopback(url), bool)


def test_query_is_apart_from_the_url() -> None:
    url = "https://host/v1/?api-version=2024-10-21&empty="
    assert (without_query(url), url_query(url)) == (
        "https://host/v1",
        {"api-version": "2024-10-21", "empty": ""},
    )
    assert normalised_url(url) == "https://host/v1"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:8000/v1", True),
        ("http://a.localhost/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://0.0.0.0:8000/v1", True),
        ("http://10.0.0.7/v1", False),
        ("http://vllm:8000/v1", False),
        ("https://api.example.org/v1", False),
        ("http://localhost.example.org/v1", False),
    ],
)
def test_is_loopback(url: str, loopback: bool) -> None:
    assert is_loopback(url) == loopback


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("http://192.168.1.5/v1", True),
        ("http://vllm:8000/v1", True),
        ("http://box.local/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://8.8.8.8/v1", False),
    ],
)
def test_is_local_knows_private_networks(url: str, local: bool) -> None:
    assert is_local(url) == local


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://Host.Example/v1/", "https://host.example/v1"),
        ("https://user:secret@host.example/v1", "https://host.example/v1"),
        ("https://host.example/v1?api-key=secret#x", "https://host.example/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_normalised_url_has_no_credentials(url: str, kept: str) -> None:
    assert normalised_url(url) == kept
