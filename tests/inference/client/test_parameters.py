"""Which request fields an error response refuses by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.inference.client.errors import error_object
from annoy_store.inference.client.parameters import flag_of_refusal, refused_fields

SENT = ("model", "messages", "temperature", "max_tokens", "seed", "stream", "thinking")


def openai(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def extra(*loc: Any, kind: str = "extra_forbidden") -> dict[str, Any]:
    return {"type": kind, "loc": ["body", *loc], "msg": "Extra inputs are not permitted"}


GEMINI = 'Invalid JSON payload received. Unknown name "{}": Cannot find field.'
TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0.7 with this model. "
    "Only the default (1) value is supported."
)
MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead."
)


@pytest.mark.parametrize(
    ("status", "body", "names"),
    [
        (400, openai(TEMPERATURE, "temperature", "unsupported_value"), ["temperature"]),
        (400, openai(TEMPERATURE), ["temperature"]),
        (400, openai(MAX_TOKENS, "max_tokens", "unsupported_parameter"), ["max_tokens"]),
        (400, openai(MAX_TOKENS), ["max_tokens"]),
        (
            400,
            openai(
                "Unsupported parameter: 'temperature' is not supported with this model.",
                "model",
                "unsupported_parameter",
            ),
            ["temperature"],
        ),
        (400, openai("Unrecognized request argument supplied: thinking"), ["thinking"]),
        (400, openai("Unrecognized request arguments supplied: seed, thinking"), ["seed"]),
        (400, openai("Unknown parameter: 'seed'.", "seed", "unknown_parameter"), ["seed"]),
        (400, openai("x", "thinking.type", "unsupported_value"), ["thinking"]),
        (422, {"detail": [extra("seed")]}, ["seed"]),
        (422, {"object": "error", "message": {"detail": [extra("seed"), extra("stream")]}},
         ["seed", "stream"]),
        (422, {"detail": [extra("seed", kind="value_error.extra")]}, ["seed"]),
        (400, openai("[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': "
                     "'Extra inputs are not permitted', 'input': 1}]"), ["seed"]),
        (400, [{"error": {"code": 400, "message": GEMINI.format("seed"),
                          "status": "INVALID_ARGUMENT"}}], ["seed"]),
        (400, [{"error": {"code": 400, "message":
                          GEMINI.format("seed") + "\n" + GEMINI.format("thinking")}}],
         ["seed", "thinking"]),
        (400, openai("property 'thinking' is unsupported, did you mean 'temperature'?"),
         ["thinking"]),
        (400, {"code": "Client specified an invalid argument",
               "error": "Argument not supported on this model: seed"}, ["seed"]),
        (400, {"error": "Model m does not support parameter temperature."}, ["temperature"]),
        (400, openai("m does not support parameters: ['seed'], for model=x"), ["seed"]),
        (400, openai('json: unknown field "seed"'), ["seed"]),
        (422, {"detail": "unknown field `seed`, expected one of `model`, `temperature`"}, ["seed"]),
        (400, openai("Unknown field: seed. Allowed fields: 'temperature', 'stream'"), ["seed"]),
        (400, openai("`temperature` is deprecated for this model."), ["temperature"]),
        (400, openai("invalid temperature: only 1 is allowed for this model"), ["temperature"]),
        (400, openai("temperature is not supported for this model"), ["temperature"]),
        (400, openai("Additional properties are not allowed ('seed' was unexpected)"), ["seed"]),
        (400, openai("got an unexpected keyword argument 'seed'"), ["seed"]),
    ],
)  # fmt: skip
def test_refused_fields_finds_what_is_refused_by_name(
    status: int, body: Any, names: list[str]
) -> None:
    assert list(refused_fields(status, error_object(body), SENT)) == names


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("Invalid value for 'temperature': must be between 0 and 2", "temperature")),
        (400, openai("max_tokens is too large: 99999", "max_tokens", "invalid_value")),
        (400, openai("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]")),
        (422, {"detail": [{"type": "less_than_equal", "loc": ["body", "temperature"],
                           "msg": "Input should be less than or equal to 1.5"}]}),
        (422, {"detail": [extra("top_k")]}),
        (400, openai("Unsupported parameter: 'top_p'", "top_p", "unsupported_parameter")),
        (400, openai("The model does not exist", "model", "model_not_found")),
        (400, openai("this model's maximum context length is 8192 tokens")),
        (400, openai("Your input was flagged")),
        (403, openai(TEMPERATURE, "temperature", "unsupported_value")),
        (429, openai(TEMPERATURE, "temperature", "unsupported_value")),
        (400, {"message": None}),
    ],
)  # fmt: skip
def test_refused_fields_finds_nothing_where_no_sent_field_is_refused(
    status: int, body: Any
) -> None:
    assert refused_fields(status, error_object(body), SENT) == ()


@given(st.text(max_size=80), st.sampled_from([400, 422]), st.none() | st.text(max_size=9))
def test_refused_fields_of_any_error_were_sent(text: str, status: int, param: str | None) -> None:
    error = {"message": f"unsupported {text} 'seed'", "param": param}
    assert set(refused_fields(status, error, ["seed", "messages"])) <= {"seed"}
    assert refused_fields(status, error, []) == ()


@pytest.mark.parametrize(
    ("body", "flag"),
    [
        (openai("Invalid value for 'temperature': must be <= 2", "temperature"), "--temperature"),
        (openai("Invalid max_tokens value, the valid range is [1, 8192]"), "--max-tokens"),
        (openai("'max_tokens' is not supported", "max_tokens"), "--max-tokens-field"),
        (openai("'thinking' has no such mode"), "thinking in extra_body"),
    ],
)
def test_flag_of_refusal_names_what_to_change(body: Any, flag: str) -> None:
    assert flag in str(flag_of_refusal(error_object(body), SENT))


def test_flag_of_refusal_is_none_if_no_field_is_named() -> None:
    assert flag_of_refusal(error_object(openai("Your input was flagged")), SENT) is None


def test_refused_fields_takes_no_quotation_of_the_prompt_for_a_field() -> None:
    body = openai("Unsupported content: the word 'temperature' is not allowed")
    error = error_object(body)
    assert refused_fields(400, error, SENT, "the temperature is 7") == ()
    assert refused_fields(400, error, SENT, "the weather is fine") == ("temperature",)
    told = error_object(openai(TEMPERATURE, None, "unsupported_value"))
    assert refused_fields(400, told, SENT, "the temperature is 7") == ("temperature",)
