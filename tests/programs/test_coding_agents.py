"""Real programs that people use, unchanged, from the package registry that the machine is set up for: one question each, to the other
dialect's provider. They take minutes and 660 MB, so they run with --programs (`.ci/full`). What they send in every turn is tried with
recordings in the rest of the suite.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream, upstream

pytestmark = [pytest.mark.program, pytest.mark.timeout(600)]
PACKAGES = ("@anthropic-ai/claude-code@2.1.197", "@openai/codex@0.171.0")
QUESTION = "Say hello in one word. Use no tool."


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs; skipped where they cannot be had."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("programs")
    words = ["npm", "install", "--no-fund", "--no-audit", "--loglevel=error", "--prefix", str(folder), *PACKAGES]
    done = subprocess.run(words, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install them: {done.stderr.strip()[-300:]}")
    return folder / "node_modules" / ".bin"


@pytest.fixture(scope="module")
def up() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, up: Upstream) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway") / "data") as one:
        kinds = (("work", "openai", f"{up.url}/v1"), ("chat", "openai-compatible", f"{up.url}/v1"), ("claude", "anthropic", up.url))
        for name, kind, url in kinds:
            one.cli("provider", "add", name, "--kind", kind, "--base-url", url, "--local", "--key-stdin", stdin=up.key)
        yield one


def ask(command: list[str], home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """In a home of its own, without the settings of whoever runs the tests."""
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "NO_COLOR": "1", **variables}
    return subprocess.run(
        command, cwd=home, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False
    )


def judged(running: Gateway, up: Upstream, client: str, key: str, provider: str) -> None:
    """One row that succeeded, and nothing of the client's own at the provider."""

    def rows() -> list[dict[str, object]]:
        return [
            each for each in running.cli_json("activity", "--limit", "50") if each["client"] == client and each["outcome"] == "completed"
        ]

    found = wait_for(rows, f"the row of {client}")
    assert {each["account"] for each in found} == {provider}
    for request in up.requests:
        sent = str(request.headers).lower() + request.body.decode("utf-8", "replace")
        assert key not in sent
        assert "claude-cli" not in sent
        assert "codex_" not in str(request.headers).lower()


@pytest.mark.parametrize(("model", "provider"), [("claude/claude-sonnet-4-5", "claude"), ("work/gpt-4o-mini", "work")])
def test_claude_code_gets_its_answer(running: Gateway, up: Upstream, programs: Path, tmp_path: Path, model: str, provider: str) -> None:
    client = f"claude-code-{provider}"
    key = running.client(client)
    done = ask(
        [str(programs / "claude"), "-p", QUESTION, "--model", model],
        tmp_path / "home",
        ANTHROPIC_BASE_URL=running.url, ANTHROPIC_AUTH_TOKEN=key, ANTHROPIC_SMALL_FAST_MODEL=model, DISABLE_TELEMETRY="1",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", DISABLE_AUTOUPDATER="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    judged(running, up, client, key, provider)


@pytest.mark.parametrize(("model", "provider"), [("chat/gpt-4o-mini", "chat"), ("claude/claude-sonnet-4-5", "claude")])
def test_codex_gets_its_answer(running: Gateway, up: Upstream, programs: Path, tmp_path: Path, model: str, provider: str) -> None:
    client = f"codex-{provider}"
    key = running.client(client)
    settings = {
        "model_provider": '"gatehouse"',
        "model_providers.gatehouse.name": '"Gatehouse"',
        "model_providers.gatehouse.base_url": f'"{running.url}/v1"',
        "model_providers.gatehouse.env_key": '"GATEHOUSE_KEY"',
        "model_providers.gatehouse.wire_api": '"responses"',
    }
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    done = ask(
        [str(programs / "codex"), "exec", "--skip-git-repo-check", "--sandbox", "read-only", "-m", model, *words, QUESTION],
        tmp_path / "home",
        GATEHOUSE_KEY=key,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    judged(running, up, client, key, provider)
