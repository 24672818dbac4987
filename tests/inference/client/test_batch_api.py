"""Files and batches at a loopback provider, and what the client makes of its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from annoy_store.config import RunSettings
from annoy_store.inference.client import batch_api
from annoy_store.inference.client.batch_api import BatchApi
from annoy_store.inference.client.errors import CallError
from annoy_store.inference.client.providers import resolve_endpoint
from tests.support.provider import Provider

KEY = "sk-loopback-4f9c1e77a2"
LINE = {
    "custom_id": "0123456789ab-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "sim", "messages": [{"role": "user", "content": "hello"}]},
}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("SIM_KEY", KEY)
    monkeypatch.setattr(batch_api, "RETRY_SECONDS", ())
    with Provider(key=KEY).serving() as running:
        yield running


@pytest.fixture
def api(provider: Provider) -> Iterator[BatchApi]:
    settings = RunSettings(base_url=provider.url, api_key_env="SIM_KEY")
    client = BatchApi(resolve_endpoint(settings, "sim"))
    yield client
    client.close()


@pytest.fixture
def input_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    return path


def test_batch_api_follows_a_batch_from_upload_to_download(
    api: BatchApi, provider: Provider, input_file: Path, tmp_path: Path
) -> None:
    file_id = api.upload(input_file)
    batch = api.create(file_id, "name-1")
    assert (batch.name, batch.status, batch.is_live) == ("name-1", "validating", True)
    while batch.is_live:
        batch = api.retrieve(batch.id)
    assert (batch.status, batch.error_file, batch.errors) == ("completed", None, ())
    assert batch.output_file
    api.download(batch.output_file, tmp_path / "out.jsonl")
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line)["custom_id"] == LINE["custom_id"]
    assert provider.stats()["paid"] == 1


def test_find_by_name_returns_created_batches_oldest_first(
    api: BatchApi, provider: Provider, input_file: Path
) -> None:
    provider.behave(batch_ends=[{}, {}, {}, {"end": "failed"}])
    file_id = api.upload(input_file)
    first, _, third, refused = (api.create(file_id, name) for name in ("a", "b", "a", "a"))
    assert api.retrieve(refused.id).status == "failed"
    assert [batch.id for batch in api.find_by_name("a", 0.0)] == [first.id, third.id]
    assert api.find_by_name("a", first.created_at + 3600) == []


def test_retrieve_returns_the_errors_of_a_refused_file(
    api: BatchApi, provider: Provider, input_file: Path
) -> None:
    provider.behave(batch_ends=[{"end": "failed", "code": "invalid_model"}])
    batch = api.create(api.upload(input_file), "a")
    (error,) = api.retrieve(batch.id).errors
    assert (error.code, error.message, error.line) == ("invalid_model", "as planned", None)


def test_cancel_returns_a_batch_that_has_ended(api: BatchApi, input_file: Path) -> None:
    batch = api.create(api.upload(input_file), "a")
    while api.retrieve(batch.id).is_live:
        continue
    assert api.cancel(batch.id).status == "completed"


def test_cancel_keeps_a_batch_live_until_it_has_ended(api: BatchApi, input_file: Path) -> None:
    batch = api.create(api.upload(input_file), "a")
    assert api.cancel(batch.id).status == "cancelling"


def test_delete_files_named_deletes_no_other_file(
    api: BatchApi, provider: Provider, input_file: Path
) -> None:
    other = input_file.with_name("other.jsonl")
    other.write_bytes(input_file.read_bytes())
    kept = api.upload(other)
    for _ in range(2):
        api.upload(input_file)
    api.delete_files_named("in.jsonl", 0.0)
    assert list(provider.files.objects) == [kept]


def test_delete_file_accepts_a_file_that_is_gone(api: BatchApi, input_file: Path) -> None:
    file_id = api.upload(input_file)
    api.delete_file(file_id)
    api.delete_file(file_id)


def test_retrieve_of_an_unknown_batch_is_an_error(api: BatchApi) -> None:
    with pytest.raises(CallError) as caught:
        api.retrieve("batch_99")
    assert (caught.value.status, caught.value.is_retryable) == (404, False)


def test_batch_api_shows_no_key(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, input_file: Path
) -> None:
    secret = "a-key-without-a-known-beginning"
    monkeypatch.setenv("SIM_KEY", secret)
    settings = RunSettings(base_url=provider.url, api_key_env="SIM_KEY")
    api = BatchApi(resolve_endpoint(settings, "sim"))
    with pytest.raises(CallError) as caught:
        api.upload(input_file)
    api.close()
    assert (caught.value.kind, caught.value.status) == ("stop", 401)
    assert secret not in f"{caught.value!r} {caught.value.message} {caught.value.reason}"


def test_batch_api_is_unreachable_without_a_server(input_file: Path, provider: Provider) -> None:
    api = BatchApi(resolve_endpoint(RunSettings(base_url="http://127.0.0.1:9/v1"), "sim"))
    with pytest.raises(CallError) as caught:
        api.upload(input_file)
    api.close()
    assert caught.value.kind == "unreachable"
