"""How much thinking each of OpenAI's models may be asked for: the nearest that it takes, at least as much where there is one."""

from __future__ import annotations

import pytest

from app.wire.openai_family import fit_effort, fit_max_tokens


@pytest.mark.parametrize(
    ("model", "wanted", "asked"),
    [
        ("gpt-4.1", "high", ""),
        ("gpt-5-chat-latest", "low", ""),
        ("gpt-5", "none", "minimal"),
        ("gpt-5-mini", "xhigh", "high"),
        ("gpt-5-pro", "low", "high"),
        ("gpt-5-codex", "minimal", "low"),
        ("gpt-5.1", "minimal", "low"),
        ("gpt-5.1", "none", "none"),
        ("gpt-5.1-codex", "none", "low"),
        ("gpt-5.1-codex-max", "xhigh", "xhigh"),
        ("gpt-5.2-codex", "none", "low"),
        ("gpt-5.4", "xhigh", "xhigh"),
        ("openai/gpt-5.4", "minimal", "low"),
        ("o3", "none", "low"),
        ("o4-mini", "max", "high"),
        ("qwen3-coder", "high", "high"),
        ("qwen3-coder", "none", ""),
    ],
)
def test_the_nearest_effort_that_the_model_takes(model: str, wanted: str, asked: str) -> None:
    assert fit_effort(wanted, model) == asked


def test_no_more_is_asked_for_than_the_model_gives_out() -> None:
    assert fit_max_tokens(64_000, "gpt-4o-mini") == 16_384
    assert fit_max_tokens(64_000, "gpt-4.1") == 32_768
    assert fit_max_tokens(64_000, "gpt-5-chat-latest") == 16_384
    assert fit_max_tokens(64_000, "gpt-5.1") == 64_000
    assert fit_max_tokens(64_000, "qwen3-coder") == 64_000
    assert fit_max_tokens(None, "gpt-4o") is None
