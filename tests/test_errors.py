"""Errors: what is masked in their words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annoy_store.errors import did_you_mean, mask_secrets, unknown_name

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=20)
NAMES = st.sampled_from(["password", "sslpassword", "PGPASSWORD", "api_key", "apikey", "token"])


@given(SECRET)
def test_mask_secrets_hides_a_password_before_the_host(secret: str) -> None:
    for prefix in ("postgresql://u:", "postgresql+psycopg://u:", "//:", "https://me:"):
        masked = mask_secrets(f"cannot connect to {prefix}{secret}@host/db: refused")
        assert masked == f"cannot connect to {prefix}***@host/db: refused"


@given(NAMES, SECRET.filter(lambda s: not set(s) & set("&'\"")))
def test_mask_secrets_hides_a_password_by_the_name_of_its_setting(name: str, secret: str) -> None:
    for text in (
        f"postgresql://h/x?user=u&{name}={secret}&a=b",
        f"host=h {name} = {secret} user=u",
    ):
        masked = mask_secrets(text)
        assert f"{name}=***" in masked.replace(" ", "")
        assert "user=u" in masked


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:hunter2-pw",
        "postgresql://u:two hunter2-pw@h:abc/x",
        "postgresql://h/x?options=password%3Dhunter2-pw",
        "no store at u:hunter2-pw@h/db",
        "connect(**{'user': 'u', 'password': 'hunter2-pw x'})",
        '{"api_key": "hunter2-pw"}',
        'host=h password="a hunter2-pw"',
        "password: hunter2-pw",
        "Authorization: Bearer hunter2-pw",
        "Authorization: Basic hunter2-pw",
        "https://h/v1?sig=hunter2-pw",
        "https://h/v1?a=b&subscription-key=hunter2-pw&c=d",
        "postgresql://h/x?pass=hunter2-pw",
    ],
)
def test_mask_secrets_hides_a_secret_in_every_form(text: str) -> None:
    assert "hunter2" not in mask_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "m (max_tokens=4096, temperature=0.7)",
        "sqlite:////tmp/store.db",
        "postgresql://user@host:5432/db?sslmode=require",
        "https://api.openai.com/v1 does not answer",
        "write to someone@example.org",
        "http://[::1]:8000/v1 and http://127.0.0.1:8000, then http://h:80",
        "basic functions take a token: see TypeError: 5",
    ],
)
def test_mask_secrets_leaves_the_rest(text: str) -> None:
    assert mask_secrets(text) == text


def test_unknown_name_lists_the_names_or_says_what_does() -> None:
    known = ["train", "test"]
    assert unknown_name("split", "trian", known) == (
        "unknown split 'trian' (did you mean train?); known are: train, test"
    )
    assert unknown_name("key", "zzz", known, see="annoy policy") == (
        "unknown key 'zzz'; see: annoy policy"
    )


def test_did_you_mean_names_one_that_is_near() -> None:
    assert did_you_mean("v_chain", ["v_chains", "v_cost"]) == " (did you mean v_chains?)"
    assert did_you_mean("zzz", ["v_chains"]) == ""
    assert did_you_mean("CORRECT", ["correct", "wrong"]) == " (did you mean correct?)"
