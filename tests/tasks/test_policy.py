"""Templates are checked when a policy names them, not when a run renders them."""

from __future__ import annotations

from pathlib import Path

import pytest

from annoy_store.config import Policy
from annoy_store.db.engine import Database
from annoy_store.errors import UsageError
from annoy_store.records.policy import load_policy
from annoy_store.tasks.policy import changed_policy, set_policy

GOOD = {
    "template_transform": "Rewrite:\n{{code}}\n",
    "template_revise": "No: {{feedback}}",
    "predict_output.template": "{{problem}}\n{{input}}\n",
    "predict_input.template": "{{code}}\n\nGives {{output}}\n",
    "template_predict_input": "{{output}} of {{code}}, {{io}}",
}


@pytest.mark.parametrize(("key", "text"), GOOD.items())
def test_changed_policy_takes_a_file_with_the_places(tmp_path: Path, key: str, text: str) -> None:
    (tmp_path / "t.md").write_text(f"\ufeff{text}")
    assert text in repr(changed_policy(Policy(), {key: f"@{tmp_path}/t.md"})).replace("\\n", "\n")


@pytest.mark.parametrize(
    ("key", "text", "word"),
    [
        ("template_transform", "Rewrite this.\nPlease.\n", "lacks {{code}}"),
        ("template_transform", "{{code}} {{problem}}\n", "unknown placeholders {{problem}}"),
        ("template_transform", "{{source}}\n", "unknown placeholders {{source}}"),
        ("template_transform", "Rewrite {code}\n", "lacks {{code}}"),
        ("template_revise", "Try again.\n", "lacks {{feedback}}"),
        ("predict_output.template", "{{problem}} {{code}}\n", "lacks {{input}}"),
        ("predict_output.template", "{{output}}\n{{input}}", "unknown placeholders {{output}}"),
        ("predict_input.template", "{{code}}\n{{input}}", "unknown placeholders {{input}}"),
        ("template_predict_input", "\n\n", "lacks"),
        ("predict_output.template", "revise", "unknown placeholders {{feedback}}"),
        ("template_transform", "predict_output", "unknown placeholders {{input}}"),
        ("template_transform", "nowhere", "unknown template 'nowhere'"),
    ],
)
def test_changed_policy_refuses_a_template_without_its_places(
    tmp_path: Path, key: str, text: str, word: str
) -> None:
    (tmp_path / "t.md").write_text(text)
    value = f"@{tmp_path}/t.md" if "\n" in text or " " in text else text
    with pytest.raises(UsageError) as caught:
        changed_policy(Policy(), {key: value})
    assert word in str(caught.value)
    assert str(caught.value).startswith(
        f"policy {key.replace('template_predict_input', 'predict_input.template')}: "
    )


def test_set_policy_checks_only_the_templates_that_change(
    sqlite_store: Database, tmp_path: Path
) -> None:
    (tmp_path / "bad.md").write_text("Nothing\nin it\n")
    with sqlite_store.write() as connection:
        with pytest.raises(UsageError, match="lacks"):
            set_policy(connection, {"template_transform": f"@{tmp_path}/bad.md"})
        assert load_policy(connection).template_transform == "transform"
        stored = changed_policy(Policy(), {"max_turns": "3"})
    old = stored.model_copy(update={"template_transform": "Nothing\nin it\n"})  # an older store
    assert changed_policy(old, {"max_turns": "2"}).max_turns == 2
