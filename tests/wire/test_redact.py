"""Keys are taken out of what providers say, in every shape they are known to have."""

from __future__ import annotations

import json
import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.secret import Secret
from app.wire.redact import MASK, redact

CHARACTERS = string.ascii_letters + string.digits


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
    out = redact(around.format(key).encode()).decode()
    assert MASK.decode() in out
    longest = max(key.replace("*", " ").replace("…", " ").replace("•", " ").split(), key=len)
    for start in range(0, max(1, len(longest) - 8), 4):
        piece = longest[start : start + 8]
        assert len(piece) < 6 or piece not in out


@pytest.mark.parametrize(
    "text",
    [
        "The model `gpt-4.1` does not exist or you do not have access to it.",
        "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-3-haiku-20240307",
        "Rate limit reached for gpt-4o in organization org-abc on tokens per min (TPM): Limit 30000, Used 29000",
        "task-oriented risk-averse desk-top sk-", "https://platform.openai.com/account/api-keys", "request req_011CSHoEeqs5C35K2UUqR7Fy",
        "**bold** and *** three", "hf_", "xai", "bearer token", "AIzawa",
    ],
)  # fmt: skip
def test_ordinary_messages_stay_as_they_are(text: str) -> None:
    assert redact(text.encode()) == text.encode()


@given(st.text(alphabet=CHARACTERS + "-_.=+/", min_size=8, max_size=200), st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=200)
def test_a_given_secret_is_removed_whatever_its_shape(secret: str, before: str, after: str) -> None:
    out = redact((before + secret + after).encode("utf-8", "replace"), [Secret(secret)])
    assert secret.encode() not in out or secret.encode() in MASK


def test_what_begins_like_a_secret_is_removed_with_it() -> None:
    secret = Secret("abcdefgh" + random_text(40))
    assert redact(b"key abcdefgh***wxyz is wrong", [secret]) == b"key " + MASK + b" is wrong"


def test_json_stays_json() -> None:
    body = json.dumps({"error": {"message": f"Bad {SHAPES[0]}", "param": SHAPES[3], "list": SHAPES}}).encode()
    assert json.loads(redact(body))["error"]["message"] == f"Bad {MASK.decode()}"


def test_an_empty_secret_removes_nothing() -> None:
    assert redact(b"text", [Secret("")]) == b"text"


def test_a_long_hostile_text_is_searched_in_linear_time() -> None:
    for piece in (b"sk-", b"*", b"eyJ", b"a", b"Bearer ", b"\xe2\x80\xa2", b"sk-***"):
        redact(piece * (1_000_000 // len(piece)), [Secret("x" * 40)])
