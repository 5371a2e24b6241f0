"""Keys are taken out of what providers say: every shape that is known, and the account's own key however it is spelled."""

from __future__ import annotations

import base64
import html
import json
import random
import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.secret import Secret
from app.wire.redact import LONGEST, MASK, SHAPES_ALONE, Carried, Redactor
from tests.wire.spellings import KEYS, SPELLINGS, finds

CHARACTERS = string.ascii_letters + string.digits
HIDDEN = MASK.decode()


def redact(text: str, secret: str = "") -> str:
    return (Redactor(Secret(secret)) if secret else SHAPES_ALONE).text(text)


def random_text(length: int, seed: int = 1) -> str:
    chance = random.Random(seed)
    return "".join(chance.choice(CHARACTERS) for _ in range(length))


SHAPES = [
    "sk-" + random_text(48), "sk-proj-" + random_text(60) + "-_" + random_text(60), "sk-svcacct-" + random_text(40),
    "sk-ant-api03-" + random_text(90) + "-AA", "sk-or-v1-" + random_text(64), "sk-gh-" + random_text(43), "gsk_" + random_text(52),
    "xai-" + random_text(80), "hf_" + random_text(34), "pplx-" + random_text(48), "fw_" + random_text(22), "csk-" + random_text(48),
    "nvapi-" + random_text(64), "AIza" + random_text(35), "AKIA" + random_text(16).upper(), "ghp_" + random_text(36),
    "github_pat_" + random_text(22) + "_" + random_text(59), "ya29." + random_text(100), "tgp_v1_" + random_text(43),
    "r8_" + random_text(37),
    "eyJ" + random_text(30) + ".eyJ" + random_text(60) + "." + random_text(40),
    "sk-proj-****************************abcd", "sk-ab…wxyz12", "abcd1234****************wxyz", "••••••••wxyz",
]  # fmt: skip


@pytest.mark.parametrize("key", SHAPES)
@pytest.mark.parametrize("around", ["{}", "Incorrect API key provided: {}. You can", '"{}"', "key={}&x=1", "Bearer {}", "({})", "'{}',"])
def test_known_shapes_are_removed_wherever_they_stand(key: str, around: str) -> None:
    out = redact(around.format(key))
    assert HIDDEN in out
    longest = max(key.replace("*", " ").replace("…", " ").replace("•", " ").split(), key=len)
    for start in range(0, max(1, len(longest) - 8), 4):
        piece = longest[start : start + 8]
        assert len(piece) < 6 or piece not in out


@pytest.mark.parametrize("key", SHAPES)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_shape_right_after_an_escape_is_removed_from_json(key: str, ascii_only: bool) -> None:
    """`\\n` before a key must not pass for a letter that the key goes on from; nor may the key's own characters be escaped."""
    body = json.dumps({"error": {"message": f"Bad key:\n{key}\tis wrong"}}, ensure_ascii=ascii_only).encode()
    out = SHAPES_ALONE.body(body)
    assert out is not None
    said = json.loads(out)["error"]["message"]
    assert said.startswith("Bad key:\n" + HIDDEN)
    assert said.endswith("\tis wrong")


@pytest.mark.parametrize(
    "text",
    [
        "The model `gpt-4.1` does not exist or you do not have access to it.",
        "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-3-haiku-20240307",
        "Rate limit reached for gpt-4o in organization org-abc on tokens per min (TPM): Limit 30000, Used 29000",
        "task-oriented risk-averse desk-top sk-", "https://platform.openai.com/account/api-keys", "request req_011CSHoEeqs5C35K2UUqR7Fy",
        "**bold** and *** three",
        "The model `pplx-embed-context-v1-4b` is unknown, xai-grok-code-fast-1.0 too.",
        "hf_", "xai", "bearer token", "AIzawa", "100 % of 5 &amp; \\n \\u0041 %41",
    ],
)  # fmt: skip
def test_ordinary_messages_stay_as_they_are(text: str) -> None:
    assert redact(text) == text
    for key in KEYS.values():
        assert redact(text, key) == text


@given(st.text(alphabet=CHARACTERS + "-_.=+/", min_size=8, max_size=200), st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=200)
def test_a_given_secret_is_removed_whatever_its_shape(secret: str, before: str, after: str) -> None:
    out = redact(before + secret + after, secret)
    assert secret not in out or secret in HIDDEN


def test_what_begins_like_a_secret_is_removed_with_it() -> None:
    assert redact("key abcdefgh***wxyz is wrong", "abcdefgh" + random_text(40)) == f"key {HIDDEN} is wrong"


def test_json_stays_json() -> None:
    body = json.dumps({"error": {"message": f"Bad {SHAPES[0]}", "param": SHAPES[3], "list": SHAPES}}).encode()
    out = SHAPES_ALONE.body(body)
    assert out is not None
    assert json.loads(out)["error"]["message"] == f"Bad {HIDDEN}"


def test_json_without_a_key_keeps_its_bytes() -> None:
    body = b'{ "error" : {"message":"caf\\u00e9 \\/ 1.50", "code": 1e2} }\n'
    assert Redactor(Secret(KEYS["openai"])).body(body) is body


def test_an_empty_secret_removes_nothing() -> None:
    assert Redactor(Secret("")).text("text") == "text"


# -- the account's own key, in every spelling


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", KEYS)
def test_the_key_is_found_in_every_spelling(key: str, spelling: str) -> None:
    secret = KEYS[key]
    spelled = SPELLINGS[spelling](secret)
    out = Redactor(Secret(secret)).text(f"The key {spelled} is wrong, says nobody.")
    assert not finds(secret, out), out
    assert out.startswith("The key ")
    assert out.endswith("is wrong, says nobody.")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", KEYS)
def test_the_key_is_found_in_json(key: str, spelling: str) -> None:
    secret = KEYS[key]
    redactor = Redactor(Secret(secret))
    body = json.dumps({"error": {"message": f"Bad: {SPELLINGS[spelling](secret)}!", "code": 7}}).encode()
    clean = redactor.body(body)
    assert clean is not None
    assert json.loads(clean)["error"]["code"] == 7
    assert not finds(secret, clean.decode())
    # Escaped once more on the way, character by character, as a server may that means to.
    inner = "".join(f"\\u{ord(character):04x}" for character in SPELLINGS[spelling](secret))
    body = b'{"error":{"message":"Bad: ' + inner.encode() + b'!","code":7}}'
    clean = redactor.body(body)
    assert (clean is None) == (len(body) > LONGEST)
    assert clean is None or not finds(secret, json.loads(clean)["error"]["message"])


@pytest.mark.parametrize("start", range(0, 150, 7))
def test_every_window_of_the_key_is_found(start: int) -> None:
    secret = KEYS["openai"]
    core = secret.removeprefix("sk-proj-")
    window = core[start : start + 14]
    if sum(character.isalnum() for character in window) < 12:
        pytest.skip("separators are no characters of it")
    out = redact(f"it ends in {window} or so", secret)
    assert out == f"it ends in {HIDDEN} or so" or window[1:-1] not in out
    assert redact(f"it ends in {core[start : start + 8]} or so", secret) == f"it ends in {core[start : start + 8]} or so"


@pytest.mark.parametrize("prefix", ["sk-proj-", "sk-ant-api03-", "sk-or-v1-", "sk-gh-", "gsk_", "AIzaSy", "github_pat_", "xai-"])
def test_what_all_keys_of_a_kind_begin_with_is_no_find(prefix: str) -> None:
    redactor = Redactor(Secret(prefix + random_text(48, seed=9)))
    for text in (
        f"Keys begin with {prefix} here.",
        base64.b64encode(f"Keys begin with {prefix} here.".encode()).decode(),
        f"Keys begin with {prefix} here.".encode().hex(),
        quote(f"Keys begin with {prefix} here.", safe=""),
    ):
        assert redactor.text(text) == text


def test_a_key_spread_over_several_texts_is_not_shown_at_all() -> None:
    secret = KEYS["openai"]
    body = json.dumps({"error": {"message": "No", "pieces": [secret[at : at + 9] for at in range(0, len(secret), 9)]}}).encode()
    assert Redactor(Secret(secret)).body(body) is None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 11, 12, 13, 40])
def test_a_key_in_pieces_of_several_errors_is_found(size: int) -> None:
    secret = KEYS["openai"]
    carried = Carried(Redactor(Secret(secret)))
    out = "".join(carried.text(secret[at : at + size]) for at in range(0, len(secret), size))
    core = secret.removeprefix("sk-proj-")
    assert core[:12] not in out
    assert not any(core[at : at + 13] in out for at in range(len(core)))
    # What comes before the first twelve characters are together cannot be known yet.
    assert sum(character in core for character in out.replace(HIDDEN, "").removeprefix("sk-proj-")) <= 12 + size


@pytest.mark.parametrize("key", ["", "abc", "local", "ollama", "1234567"])
def test_a_short_key_hides_no_word_that_merely_holds_its_letters(key: str) -> None:
    redactor = Redactor(Secret(key))
    assert redactor.text("o.l.l.a.m.a l-o-c-a-l 1 2 3 4 5 6 7 a b c") == "o.l.l.a.m.a l-o-c-a-l 1 2 3 4 5 6 7 a b c"
    assert key not in redactor.text(f"<{key}>") or len(key) < 4


def test_answers_of_a_model_lose_the_key_and_nothing_else() -> None:
    secret = KEYS["anthropic"]
    redactor = Redactor(Secret(secret))
    said = f"Your key is {secret}, others are {SHAPES[1]} and abcd****wxyz.".encode()
    assert redactor.content(said) == f"Your key is {HIDDEN}, others are {SHAPES[1]} and abcd****wxyz.".encode()
    escaped = b'{"text":"%b"}' % "".join(f"\\u{ord(character):04x}" for character in secret).encode()
    assert redactor.content(escaped) is escaped
    assert redactor.hides_in(escaped)
    assert redactor.rewritten_content(escaped) == b'{"text":"%b"}' % MASK


@pytest.mark.parametrize("key", ["ollama", "sk-no-key-required", "not-needed", "lm-studio-needs-none-of-them"])
def test_a_placeholder_for_a_key_is_a_word_in_an_answer(key: str) -> None:
    said = f"Set the key to {key}.".encode()
    assert Redactor(Secret(key)).content(said) is said


def test_headers_lose_the_key_by_value_by_name_and_spread_over_several() -> None:
    secret = KEYS["groq"]
    redactor = Redactor(Secret(secret))
    plain = (("x-request-id", "req_0123456789abcdef"), ("x-ratelimit-reset-tokens", "6m0s"))
    assert redactor.headers(plain) == plain
    assert redactor.headers((*plain, ("x-request-id", f"req-{secret}"))) == (*plain, ("x-request-id", f"req-{HIDDEN}"))
    assert redactor.headers((*plain, (f"x-ratelimit-{secret.lower()}", "1"))) == plain
    pieces = tuple((f"x-ratelimit-{at}", secret[at : at + 8]) for at in range(0, len(secret), 8))
    assert redactor.headers((*plain, *pieces)) == ()


def test_an_error_loses_keys_in_both_its_sentences() -> None:
    secret = KEYS["openai"]
    error = AppError("provider_broken", f"host sent {secret}.", f"Ask {secret[20:60]}.", status=599, retry_after_s=3, param="p")
    clean = Redactor(Secret(secret)).error(error)
    assert (clean.code, clean.status, clean.retry_after_s, clean.param) == ("provider_broken", 599, 3, "p")
    assert clean.sentence() in (f"host sent sk-proj-{HIDDEN}. Ask {HIDDEN}.", f"host sent {HIDDEN} Ask {HIDDEN}.")
    plain = AppError("internal", "No.")
    assert Redactor(Secret(secret)).error(plain) is plain


def test_more_than_is_looked_at_is_cut_and_said_so() -> None:
    out = redact("x" * (3 * LONGEST))
    assert out == "x" * LONGEST + "… (cut)"
    assert Redactor(Secret(KEYS["openai"])).body(json.dumps({"error": "x" * LONGEST}).encode()) is None


# -- names in the ledger


@pytest.mark.parametrize("key", SHAPES[:21])
def test_a_key_used_as_a_model_is_not_kept(key: str) -> None:
    assert key not in SHAPES_ALONE.name(f"openai/{key}")
    assert key[-12:] not in SHAPES_ALONE.name(key)


@pytest.mark.parametrize(
    "name",
    [
        "openai/gpt-4.1-mini", "anthropic/claude-sonnet-4-5-20250929", "hf_model", "work/hf_my_model", "fw_llama-v3p1", "r8_flux",
        "accounts/fireworks/models/llama-v3p1-405b-instruct", "ft:gpt-4o-2024-08-06:acme::AbCd12Ef", "xai-grok-4-fast-reasoning",
        "Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4", "sk-learn-model", "xai-grok-4-fast-reasoning-20250905",
    ],
)  # fmt: skip
def test_names_of_models_stay(name: str) -> None:
    assert SHAPES_ALONE.name(name) == name


def test_escapes_that_are_none_cost_no_letters() -> None:
    for text in ("50% off", "a \\ b", "R&D", html.escape("<a href='x'>"), "%zz", "&#;", "\\u12", "C:\\new\\table"):
        assert redact(text, KEYS["openai"]) == text
