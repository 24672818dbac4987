"""What people train with reads the exports: the code of TRL, LLaMA-Factory and verl itself.

    pip install trl                 # each in an environment of its own, with annoy-store and pytest
    pip install llamafactory
    pip install verl
    python -m pytest -n 0 -m trainers tests/integration/test_trainers.py

Nothing is fetched: the tokenizer and the model are made here, and are tiny.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from annoy_store.db.engine import Database
from annoy_store.export.export import export
from annoy_store.export.file_options import FileOptions
from annoy_store.export.request import ExportRequest
from annoy_store.rewards import codeio_reward, compute_score
from tests.support import chains

pytestmark = [pytest.mark.trainers, pytest.mark.filterwarnings("ignore")]
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} </s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
ROWS = {
    "messages": 18,
    "sharegpt": 18,
    "alpaca": 18,
    "preference": 9,
    "preference_chat": 9,
    "rl": 18,
}


@pytest.fixture
def trl() -> Any:
    return pytest.importorskip(
        "trl", minversion="1.0", reason="TRL 1 is not installed: pip install trl"
    )


@pytest.fixture
def llamafactory() -> Any:
    return pytest.importorskip(
        "llamafactory", reason="LLaMA-Factory is not installed: pip install llamafactory"
    )


@pytest.fixture
def verl() -> Any:
    return pytest.importorskip("verl", reason="verl is not installed: pip install verl")


@pytest.fixture
def exported(sqlite_store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder per format, of nine samples."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    chains.fill(sqlite_store, [f"animal{i}" for i in range(9)])
    for form, rows in ROWS.items():
        report = export(sqlite_store, ExportRequest(form, tmp_path / form))
        assert report.n_rows == rows
    cut = FileOptions("parquet", shard_rows=5)
    export(sqlite_store, ExportRequest("messages", tmp_path / "cut", file_options=cut))
    whole = FileOptions("parquet")
    export(sqlite_store, ExportRequest("rl", tmp_path / "rl_parquet", file_options=whole))
    return tmp_path


@pytest.fixture
def tokenizer(exported: Path) -> Any:
    """The words of the exports by blanks, with a chat template."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = ["<unk>", "<pad>", "</s>"]
    texts = (exported / "messages" / "train.jsonl").read_text().splitlines()
    texts = [m["content"] for line in texts for m in json.loads(line)["messages"]]
    texts += ["<user> <assistant> user assistant no idea {} again"]
    words.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=special))
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )
    made.chat_template = TEMPLATE
    return made


@pytest.fixture
def model(tokenizer: Any, tmp_path: Path) -> str:
    """A model of a few thousand weights, on disk."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


# TRL -----------------------------------------------------------------------------------------


def loaded(exported: Path, form: str) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset(str(exported / form), split="train")


def trl_options(tmp_path: Path) -> dict[str, Any]:
    return {
        "output_dir": str(tmp_path / "run"),
        "report_to": "none",
        "use_cpu": True,
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "bf16": False,
        "save_strategy": "no",
    }


@pytest.mark.parametrize("form", ["messages", "cut"])
def test_trl_fine_tunes_on_messages(
    trl: Any, exported: Path, tmp_path: Path, tokenizer: Any, model: str, form: str
) -> None:
    trainer = trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(**trl_options(tmp_path)),
        processing_class=tokenizer,
        train_dataset=loaded(exported, form),
    )
    assert len(trainer.train_dataset) == 18
    assert all(len(row["input_ids"]) > 3 for row in trainer.train_dataset)
    assert trainer.train().global_step == 1


@pytest.mark.parametrize("form", ["preference", "preference_chat"])
def test_trl_learns_preferences(
    trl: Any, exported: Path, tmp_path: Path, tokenizer: Any, model: str, form: str
) -> None:
    data = loaded(exported, form)
    conversational = trl.is_conversational(data[0]) if hasattr(trl, "is_conversational") else None
    assert conversational in (None, form == "preference_chat")
    trainer = trl.DPOTrainer(
        model=model,
        args=trl.DPOConfig(**trl_options(tmp_path)),
        processing_class=tokenizer,
        train_dataset=data,
    )
    assert len(trainer.train_dataset) == 9
    assert trainer.train().global_step == 1


def test_trl_rewards_answers(
    trl: Any, exported: Path, tmp_path: Path, tokenizer: Any, model: str
) -> None:
    """GRPO passes the columns of `rl` to our reward function, which finds the ground truths."""
    seen: list[float | None] = []

    def reward(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
        seen.extend(codeio_reward(prompts, completions, **columns))
        return seen[-len(completions) :]

    options = trl_options(tmp_path) | {"num_generations": 2, "max_completion_length": 4}
    trainer = trl.GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=trl.GRPOConfig(**options | {"max_steps": 2}),
        processing_class=tokenizer,
        train_dataset=loaded(exported, "rl"),
    )
    assert trainer.train().global_step == 2
    assert len(seen) == 4
    assert set(seen) <= {0.0, 1.0}


# LLaMA-Factory -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["messages", "sharegpt", "alpaca", "preference", "cut"])
def test_llama_factory_reads_what_dataset_info_says(
    llamafactory: Any, exported: Path, tmp_path: Path, tokenizer: Any, form: str
) -> None:
    assert llamafactory
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    names = list(json.loads((exported / form / "dataset_info.json").read_text()))
    data_args = DataArguments(
        template="chatml",
        dataset=",".join(names),
        dataset_dir=str(exported / form),
        overwrite_cache=True,
        cutoff_len=512,
    )
    model_args = ModelArguments(model_name_or_path="none", cache_dir=str(tmp_path / "cache"))
    training = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path / "run"), report_to="none", use_cpu=True
    )
    template = get_template_and_fix_tokenizer(tokenizer, data_args)
    stage = "rm" if form == "preference" else "sft"
    module = get_dataset(template, model_args, data_args, training, stage, tokenizer=tokenizer)
    data = module["train_dataset"]
    assert len(data) == ROWS.get(form, 18)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    learned = {tokenizer.decode(trained(row)) for row in data}
    right = "Now." if stage == "rm" else "I see."
    assert any(right in text for text in learned)
    assert not any("What does" in text for text in learned)  # a question is read, not learned


def trained(row: Any) -> list[int]:
    """The tokens that a model learns from; of a preference those of the chosen answer."""
    labels = row["chosen_labels"] if "chosen_labels" in row else row["labels"]
    return [token for token in labels if token >= 0]


# verl ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["rl/train.jsonl", "rl_parquet/train.parquet"])
def test_verl_reads_questions(
    verl: Any, exported: Path, tmp_path: Path, tokenizer: Any, file: str
) -> None:
    assert verl
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    config = OmegaConf.create({"cache_dir": str(tmp_path / "cache"), "max_prompt_length": 512})
    data = RLHFDataset(str(exported / file), tokenizer, config)
    assert len(data) == ROWS["rl"]
    row = data[0]
    assert [m["role"] for m in row["raw_prompt"]] == ["user"]
    assert row["reward_model"]["style"] == "rule"
    truth = json.loads(row["reward_model"]["ground_truth"])
    gold = json.dumps({"output": json.loads(truth["output"])})
    assert compute_score(row["data_source"], gold, row["reward_model"]["ground_truth"]) == 1.0
    batch = collate_fn([data[i] for i in range(4)])
    assert set(batch["data_source"]) == {"annoy_store"}
