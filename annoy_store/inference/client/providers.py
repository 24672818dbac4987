"""Endpoints: presets of providers, and the endpoint that settings describe.

Decisions
- A preset is named, or recognised by the host of the base URL; any other endpoint is taken to
  speak OpenAI's protocol with its older field names.
- The key is the environment variable that `api_key_env` or else the preset names, and is sent
  wherever the base URL points, to this machine or network too. There it may be missing, and `EMPTY`
  is sent. Presets of local servers name a variable of their own, so that a key of OpenAI's reaches
  none of them.
- What a family of models is known to refuse is left out before the first call, and so is no part of
  the teacher's identity; it is known only of the provider itself, not of models named alike.
- DeepSeek's models reason by default, and ignore the temperature while they do. So reasoning is
  always set explicitly: off, unless `extra_body` says otherwise.
- Servers that queue (vLLM, SGLang, Ollama) never send 429: adaptive concurrency is off there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from annoy_store.config import RunSettings
from annoy_store.errors import UsageError, unknown_name
from annoy_store.inference.client.base_url import (
    check_base_url,
    is_local,
    normalised_url,
    url_query,
    without_query,
)
from annoy_store.inference.client.peak_hours import PeakHours, parse_peak_hours

_PLACEHOLDER_KEY = "EMPTY"
_RETIRED_MODELS = {
    "deepseek-chat": "thinking is off unless you switch it on",
    "deepseek-reasoner": 'extra_body = {"thinking": {"type": "enabled"}} makes it think',
}


@dataclass(frozen=True)
class Preset:
    """Defaults for one provider.

    Attributes:
        base_url: Its base URL.
        key_env: The environment variable that holds its API key.
        local: Whether it is a server on this machine, which needs no key.
        max_tokens_field: The field that limits the length of an answer.
        seed_field: The field of the sampling seed.
        refused: Pairs of a pattern of model names and the parameters that such models refuse.
        fixed_concurrency: Whether it queues calls, so that no limit is searched for.
        extra_body: Fields that every request has.
        peak_hours: When it charges more, as `peak_hours.py` describes.
    """

    base_url: str | None = None
    key_env: str = "OPENAI_API_KEY"
    local: bool = False
    max_tokens_field: str = "max_tokens"
    seed_field: str = "seed"
    refused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    fixed_concurrency: bool = False
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    peak_hours: str | None = None


# Sources: https://platform.openai.com/docs/api-reference/chat,
# https://api-docs.deepseek.com/quick_start/pricing (peak hours), https://docs.mistral.ai/api,
# https://ai.google.dev/gemini-api/docs/openai, and the servers' default ports. What models refuse:
# https://platform.openai.com/docs/guides/reasoning (gpt-5 and the o-series take no temperature but
# 1), and Gemini's error `Unknown name "seed"`.
PRESETS = {
    "openai": Preset(
        "https://api.openai.com/v1",
        max_tokens_field="max_completion_tokens",
        refused=((r"(?:ft:)?(?:o\d|gpt-5)(?!.*-chat).*", ("temperature", "top_p")),),
    ),
    "deepseek": Preset(
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        extra_body={"thinking": {"type": "disabled"}},
        peak_hours="mon-fri 01-04 06-10",
    ),
    "mistral": Preset("https://api.mistral.ai/v1", "MISTRAL_API_KEY", seed_field="random_seed"),
    "gemini": Preset(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        refused=((".*", ("seed",)),),
    ),
    "vllm": Preset("http://127.0.0.1:8000/v1", "VLLM_API_KEY", local=True, fixed_concurrency=True),
    "sglang": Preset(
        "http://127.0.0.1:30000/v1", "SGLANG_API_KEY", local=True, fixed_concurrency=True
    ),
    "ollama": Preset(
        "http://127.0.0.1:11434/v1", "OLLAMA_API_KEY", local=True, fixed_concurrency=True
    ),
}
_PRESET_OF_HOST = {
    "api.openai.com": "openai",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral",
    "generativelanguage.googleapis.com": "gemini",
}


@dataclass(frozen=True)
class Endpoint:
    """One model behind one URL.

    Attributes:
        base_url: The base URL, without a query and without a slash at the end.
        model: The model's name there.
        key: The API key; never part of a repr.
        key_env: The environment variable that holds the key.
        max_tokens_field: The field that limits the length of an answer.
        fixed_concurrency: Whether adaptive concurrency is off.
        extra_body: Fields that every request has.
        seed_field: The field of the sampling seed.
        refused: Parameters that this model is known to refuse, unless they have their default.
        query: The parameters in the query of the URL, which every request has.
    """

    base_url: str
    model: str
    key: str = field(repr=False)
    key_env: str
    max_tokens_field: str
    fixed_concurrency: bool
    extra_body: Mapping[str, Any]
    seed_field: str = "seed"
    refused: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def sent_key(self) -> str:
        """Return in words which key is sent."""
        if self.key == _PLACEHOLDER_KEY:
            return f"no key was sent, for {self.key_env} is not set"
        return f"the key in {self.key_env} was sent"


def resolve_endpoint(
    settings: RunSettings, model: str | None, *, keyless: bool = False
) -> Endpoint:
    """Return the endpoint that settings, presets and environment variables describe.

    Args:
        settings: The settings of the run.
        model: The model's name, None if the settings name none.
        keyless: Whether to look for no key; such an endpoint serves for identity only.

    Returns:
        The endpoint.

    Raises:
        UsageError: The base URL, the model or the key is missing or unusable.
    """
    name, base_url = resolve_base_url(settings)
    preset = PRESETS[name] if name else Preset()
    if not model:
        raise UsageError(f"no model named for {base_url}; say --model NAME")
    if name == "deepseek" and model in _RETIRED_MODELS:
        raise UsageError(_retired_model_message(model))
    key_env = settings.api_key_env or preset.key_env
    needed = not keyless and not (preset.local or is_local(base_url))
    is_named = not keyless and settings.api_key_env is not None
    extra_body = {**preset.extra_body, **settings.extra_body}
    return Endpoint(
        base_url=without_query(base_url),
        query=url_query(base_url),
        model=model,
        key=_PLACEHOLDER_KEY if keyless else _key(key_env, base_url, needed=needed or is_named),
        key_env=key_env,
        max_tokens_field=settings.max_tokens_field or preset.max_tokens_field,
        fixed_concurrency=settings.fixed_connections or preset.fixed_concurrency,
        extra_body=extra_body,
        seed_field=preset.seed_field,
        refused=_refused_parameters(preset, model, extra_body),
    )


def peak_hours(settings: RunSettings) -> PeakHours:
    """Return the hours in which the provider charges more.

    Raises:
        UsageError: Neither the settings nor a preset give them.
    """
    name, base_url = resolve_base_url(settings)
    text = settings.peak_hours or (PRESETS[name].peak_hours if name else None)
    if text is None:
        raise UsageError(
            f"the peak hours of {normalised_url(base_url)} are unknown: say --peak-hours"
        )
    return parse_peak_hours(text)


def environment_variable(name: str) -> str | None:
    """Return the environment variable `name`; None if it is empty or not set."""
    return os.environ.get(name, "").strip() or None


def resolve_base_url(settings: RunSettings) -> tuple[str | None, str]:
    """Return the name of the preset, None if none applies, and the base URL with its query.

    Raises:
        UsageError: The preset is unknown or the URL is unusable.
    """
    name = settings.preset
    if name is not None and name not in PRESETS:
        raise UsageError(unknown_name("preset", name, PRESETS))
    url = settings.base_url
    if url is None and name in (None, "openai"):
        url = environment_variable("OPENAI_BASE_URL")
    if url is None:
        name = name or "openai"
        url = PRESETS[name].base_url
    url = check_base_url(str(url))
    return name or _PRESET_OF_HOST.get(urlsplit(url).hostname or ""), url


def _refused_parameters(
    preset: Preset, model: str, extra_body: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the parameters that a model refuses; without reasoning it takes a temperature."""
    patterns = ((names, re.fullmatch(pattern, model)) for pattern, names in preset.refused)
    refused = next((names for names, found in patterns if found), ())
    reasons = extra_body.get("reasoning_effort") != "none"
    return tuple(name for name in refused if reasons or name == "seed")


def _key(name: str, base_url: str, *, needed: bool) -> str:
    key = environment_variable(name)
    if key is None and needed:
        raise UsageError(
            f"no key for {normalised_url(base_url)}: set {name}, or name another with --api-key-env"
        )
    return key or _PLACEHOLDER_KEY


def _retired_model_message(model: str) -> str:
    advice = "use --model deepseek-flash or deepseek-v4-pro"
    return f"DeepSeek switched {model} off on 2026-07-24: {advice}; {_RETIRED_MODELS[model]}"
