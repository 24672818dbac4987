"""Digests of rows: what they are is part of the format of a store and never changes."""

from __future__ import annotations

from annoy_store.ingest.codeio.samples import recorded_pair
from annoy_store.prompts.template import Template
from annoy_store.records.digests import pair_digest, revision_digest, teacher_digest
from annoy_store.records.prompts import new_prompt, new_turn
from annoy_store.records.samples import new_origin, new_sample
from annoy_store.records.sources import new_source, new_source_origin


def test_digests_of_built_rows_never_change() -> None:
    source = new_source("python", "print('é')\n", "2026-01-01T00:00:00Z")
    sample = new_sample("def main_solution(x):\n    return x", "main_solution", "P", "IO", None)
    prompt = new_prompt([{"role": "user", "content": "q"}], Template("imported", "", ""))
    built = {
        "source": source,
        "origin": new_source_origin(source, "f.jsonl"),
        "sample": sample,
        "sample_origin": new_origin(sample, "f.jsonl"),
        "prompt": prompt,
        "turn": new_turn(prompt, "predict_output", 1, "a"),
    }
    assert {name: row.values["digest"] for name, row in built.items()} == {
        "source": "9cf5e0d701b9ae5833899696fcacd726",
        "origin": "4333df64219389408306832b53bbfbca",
        "sample": "e5f740246662914512c4a4c18a31b094",
        "sample_origin": "5dde57b6999e0b6fab586cdeab292222",
        "prompt": "d50714dce23fc1939fc9f174f6069e15",
        "turn": "e68823ca1458e9b84ddf057879e01a16",
    }


def test_digests_of_values_never_change() -> None:
    pair = recorded_pair(0, {"b": 1, "a": 2.5}, 3)
    assert pair.input_digest == "e37567da740b227264bff3c4adafa240"
    assert pair_digest("a", "b") == "5374641dadf699dd7f19fc7705b88aa8"
    assert revision_digest("a", 1, "b", 0) == "57f2d96047e74925927b4a1ca9c82bde"
    named = teacher_digest("openai", "m", "http://x", {"temperature": 0.5})
    assert named == "9cbd19c65f3781a12b056a4172a12518"
