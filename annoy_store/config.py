"""Typed settings of two kinds.

`Policy` defines the data: it lives in the store, so every worker and every view obeys the same.
`RunSettings` says how this machine runs: flags, then ANNOY_* variables, then `annoy.toml`, then the
defaults here; the command line reads `.env` into the environment first. Unknown keys are errors.
API keys are only ever read from the environment, under the name that `api_key_env` gives.

Decision: the variables are read here and not by `pydantic-settings`, whose import takes as long as
that of `pydantic` itself, at the start of every command.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

DEFAULT_SPLIT_SALT = "annoy"  # of the splits, unless an export names another


class Policy(BaseModel):
    """The settings that define data; the description of a field is its help in `annoy policy`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_source_bytes: int = Field(131_072, ge=1, description="largest raw file, UTF-8 bytes")
    max_prompt_chars: int = Field(160_000, ge=100, description="longest prompt, characters")
    pairs_wanted: int = Field(10, ge=2, le=1000, description="distinct I/O pairs per sample")
    long_pairs: int = Field(3, ge=2, description="enough pairs where a run passes count_lines")
    max_draws: int = Field(100, ge=2, le=10_000, description="most draws of inputs per sample")
    draw_cpu_seconds: float = Field(30.0, gt=0, description="CPU seconds for all draws of a sample")
    max_timeouts: int = Field(3, ge=1, description="time-outs after which drawing stops")
    max_items: int = Field(20, ge=1, description="containers in a value hold fewer items than this")
    max_string: int = Field(100, ge=1, description="strings in a value have fewer characters")
    max_value_bytes: int = Field(1024, ge=16, description="a value as JSON has fewer bytes")
    pairs_per_sample: int = Field(3, ge=1, le=1000, description="pairs asked about per sample")
    max_turns: int = Field(2, ge=1, le=8, description="turns of a chain, revisions included")
    samples_per_prompt: int = Field(1, ge=1, le=1000, description="answers requested per prompt")
    tolerance: float = Field(1e-3, ge=0, lt=1, description="relative tolerance of floats")
    same_integer_part: bool = Field(True, description="floats must also have the same integer part")
    cpu_seconds: float = Field(5.0, gt=0, description="CPU seconds of one call")
    wall_seconds: float = Field(
        15.0, gt=0, description="wall seconds of a call that uses no CPU time"
    )
    memory_mb: int = Field(1024, ge=64, description="address space of one call, MB")
    count_lines: int = Field(100_000, ge=0, description="executed lines counted per pair, at most")
    check_round: int = Field(
        0, ge=0, description="raised by annoy rerun generate, to run all pairs once more"
    )
    verdict_round: int = Field(
        0, ge=0, description="raised where pairs that verdicts rest on no longer hold"
    )
    template_transform: str = Field("transform", description="bundled name, or @FILE")
    template_revise: str = Field("revise", description="bundled name, or @FILE")
    tasks: str = Field("default", description="tasks that are asked, by name; default: the usual")
    task_options: tuple[tuple[str, Any], ...] = Field(
        (), description="options of tasks as stored, by the key of their row; see tasks/policy.py"
    )


class RunSettings(BaseModel):
    """How this machine runs; the description of a field is its help."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field("sqlite:///annoy.db", description="SQLAlchemy URL of the store")
    teacher: str = Field(
        "openai",
        description="what answers prompts: openai (an endpoint), batch (its Batch API), tracer (rules, no "
        "model), replay (recorded answers)",
    )
    transform_teacher: str | None = Field(
        None, description="teacher of transform prompts, if different"
    )
    preset: str | None = Field(
        None, description="provider: openai, deepseek, mistral, gemini, vllm, sglang, ollama"
    )
    model: str | None = Field(None, description="model name as the endpoint knows it")
    transform_model: str | None = Field(
        None, description="model of transform prompts, if different"
    )
    base_url: str | None = Field(None, description="OpenAI-compatible endpoint, .../v1")
    api_key_env: str | None = Field(None, description="environment variable that holds the API key")
    temperature: float | None = Field(0.7, description="sampling temperature; `none` omits it")
    top_p: float | None = Field(None, description="nucleus sampling")
    max_tokens: int | None = Field(
        4096, description="maximum answer length, tokens; `none` omits it"
    )
    max_tokens_field: str | None = Field(
        None, description="name of the max_tokens field at this endpoint"
    )
    seed: int = Field(0, description="added to the sampling seed of every call")
    extra_body: dict[str, Any] = Field(
        default_factory=dict, description="further request fields, as JSON"
    )
    max_connections: int = Field(256, ge=1, description="maximum number of calls in flight")
    fixed_connections: bool = Field(
        False, description="disable adaptive concurrency (vLLM, SGLang)"
    )
    requests_per_minute: int | None = Field(
        None, ge=1, description="requests per minute, all workers together"
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="tokens per minute, all workers together"
    )
    call_seconds: float = Field(600.0, gt=0, description="timeout of one attempt, seconds")
    tries: int = Field(5, ge=1, description="maximum number of failed attempts of one call")
    replay: Path | None = Field(None, description="file of recorded answers for --teacher replay")
    slots: int | None = Field(None, ge=1, description="number of sandbox slots")
    python: str | None = Field(None, description="interpreter that runs the samples")
    unsafe_no_sandbox: bool = Field(
        False, description="run code with resource limits only, without isolation"
    )
    allow_subprocess: bool = Field(
        False, description="allow code to start processes (strong isolation only)"
    )
    lease_seconds: float = Field(
        30.0, gt=0, description="seconds until a worker without a heartbeat counts as dead"
    )
    budget_usd: float | None = Field(
        None, gt=0, description="stop before the total cost of the store exceeds this, USD"
    )
    budget_tokens: int | None = Field(
        None, ge=1, description="stop before the total tokens of the store exceed this"
    )
    only_off_peak: bool = Field(False, description="send no calls during the provider's peak hours")
    peak_hours: str | None = Field(None, description="peak hours, UTC: mon-fri 01-04 06-10")
    batch_lines: int = Field(
        20_000, ge=1, le=50_000, description="maximum number of calls per batch"
    )
    poll_seconds: float = Field(60.0, gt=0, description="seconds between polls of a batch")
    prices: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="USD per million tokens: input, cached, output"
    )

    @model_validator(mode="before")
    @classmethod
    def _none_as_null(cls, values: Any) -> Any:
        """Read `none` as null, which neither TOML nor a flag can express."""
        if not isinstance(values, dict):
            return values
        return {key: None if value == "none" else value for key, value in values.items()}

    @field_validator("extra_body", "prices", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        """Read JSON, which a variable holds."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"the value must be JSON: {error}") from None

    @classmethod
    def layered(cls, file: Mapping[str, Any], flags: Mapping[str, Any]) -> RunSettings:
        """Return the settings of `flags` over the environment over `file` over the defaults.

        An empty variable counts as not set.

        Args:
            file: settings from the configuration file.
            flags: settings from the command line.

        Raises:
            pydantic.ValidationError: an unknown key or an invalid value.
        """
        variables = {name: os.environ.get(f"ANNOY_{name.upper()}") for name in cls.model_fields}
        given = {name: value for name, value in variables.items() if value}
        return cls(**{**file, **given, **flags})
