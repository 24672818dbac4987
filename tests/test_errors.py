"""Errors: what is masked in their words."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
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


def quoted(secret: str) -> str:
    return quote(secret, safe="")


PLAIN = st.text(st.sampled_from("abcXYZ019+/=_-.~!:@#%?"), min_size=6, max_size=20).filter(
    lambda s: s[0].isalnum() and s[-1].isalnum()
)
ANY_FORM: dict[str, Callable[[str], str]] = {
    "url": lambda s: f"postgresql://u:{quoted(s)}@HOST:5432/db?sslmode=require: refused",
    "query": lambda s: f"postgresql://HOST:5432/db?password={quoted(s)}&user=u: refused",
    "end of query": lambda s: f"postgresql://HOST:5432/db?user=u&password={quoted(s)}: refused",
    "signature": lambda s: f"https://HOST:5432/v1?sv=1&sig={quoted(s)}&se=2: refused",
    "variable": lambda s: f"DATABASE_URL=postgresql://u:{quoted(s)}@HOST:5432/db\nA=: refused",
    "json": lambda s: json.dumps({"password": s, "host": "HOST:5432", "e": ": refused"}),
    "deep json": lambda s: json.dumps({"a": [{"apiKey": s}], "host": "HOST:5432: refused"}),
    "json header": lambda s: json.dumps(
        {"Authorization": f"Bearer {s}", "h": "HOST:5432: refused"}
    ),
    "repr": lambda s: repr({"password": s, "host": "HOST:5432: refused"}),
    "quoted dsn": lambda s: f"password={json.dumps(s)} host=HOST:5432: refused",
    "exported": lambda s: f"export OPENAI_API_KEY={json.dumps(s)}\nexport H=HOST:5432: refused",
}
PLAIN_FORM: dict[str, Callable[[str], str]] = {
    **{
        name: lambda s, name=name: f"{name}: {s}\nHost: HOST:5432: refused"
        for name in (
            "X-Api-Key",
            "api-key",
            "x-goog-api-key",
            "X-Auth-Token",
            "password",
            "api_key",
        )
    },
    **{
        name: lambda s, name=name: f"{name}={s}\nHOST:5432: refused"
        for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "CLIENT_SECRET")
    },
    "bearer": lambda s: f"Authorization: Bearer {s}\nHost: HOST:5432: refused",
    "proxy": lambda s: f"Proxy-Authorization: Basic {s}\nHost: HOST:5432: refused",
    "cookie": lambda s: f"Cookie: session={s}\nHost: HOST:5432: refused",
    "dsn": lambda s: f"host=HOST:5432 password={s} dbname=d: refused",
    "end of dsn": lambda s: f"host=HOST:5432 password={s}: refused",
    "flag": lambda s: f"--password {s} --host HOST:5432: refused",
}


@pytest.mark.parametrize("form", [*ANY_FORM, *PLAIN_FORM])
@given(st.data())
@settings(deadline=None, max_examples=40)
def test_mask_secrets_masks_by_meaning_and_nothing_else(form: str, data: st.DataObject) -> None:
    """The secret is gone, what stands around it stays, and masking again changes nothing."""
    secret = data.draw(PLAIN if form in PLAIN_FORM else PLAIN | SECRET, label="secret")
    assume("//" not in secret)  # else it is masked as part of a URL, with the colon after it
    text = {**ANY_FORM, **PLAIN_FORM}[form](secret)
    masked = mask_secrets(text)
    assert secret not in masked.replace("***", "")
    assert "***" in masked
    assert "HOST:5432" in masked
    assert ": refused" in masked
    assert mask_secrets(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "host=h password=***:5432 is not known",
        "postgresql://u:***@h:5432/db: refused",
        '{"password": ***, "host": "h"}',
        "max_tokens: 5, primary_key: id, --max-tokens 5, --api-key-env NAME",
        "the token: see above",
    ],
)
def test_mask_secrets_leaves_what_is_masked_or_no_secret(text: str) -> None:
    assert mask_secrets(text) == text


def test_did_you_mean_names_one_that_is_near() -> None:
    assert did_you_mean("v_chain", ["v_chains", "v_cost"]) == " (did you mean v_chains?)"
    assert did_you_mean("zzz", ["v_chains"]) == ""
    assert did_you_mean("CORRECT", ["correct", "wrong"]) == " (did you mean correct?)"
