"""What is said of a provider is what its last requests came to, also after a start."""

from __future__ import annotations

from pathlib import Path

import httpx2

from app.control.contract import NewProvider, ProviderView
from tests.gateway import Gateway, gateway, wait_for
from tests.upstream import Upstream


def provider(one: Gateway) -> ProviderView:
    with one.control() as control:
        return next(view for view in control.snapshot().providers if view.account.name == "work")


def ask(one: Gateway, key: str, model: str, times: int) -> None:
    with httpx2.Client(trust_env=False, timeout=30) as http:
        for _ in range(times):
            body = {"model": f"work/{model}", "messages": [{"role": "user", "content": "x"}]}
            http.post(f"{one.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})


def test_a_provider_that_turns_requests_away_is_not_said_to_answer(tmp_path: Path, up: Upstream) -> None:
    with gateway(tmp_path / "data") as one:
        with one.control() as control:
            control.add_provider(NewProvider(name="work", kind="openai", base_url=f"{up.url}/v1", local=True, key=up.key))
        wait_for(lambda: provider(one).account.test_ok, "the first test")
        assert provider(one).traffic is None, "a test is no request"
        key = one.client("asker")
        ask(one, key, "gpt-4o-mini", 3)
        wait_for(lambda: (found := provider(one).traffic) is not None and (found.state, found.requests) == ("answers", 3), "three answers")
        ask(one, key, "fault/429", 12)
        said = wait_for(lambda: (found := provider(one).traffic) is not None and found.failed == 10 and found, "ten refusals")
        assert said.state == "limited"
        assert provider(one).account.test_ok is True, "the test still says what it said"
    with gateway(one.folder) as again:
        after = wait_for(lambda: provider(again).traffic, "what the ledger knows of it")
        assert (after.state, after.failed, after.at_us) == ("limited", 10, said.at_us)
        with again.control() as control:
            control.remove_provider("work")
            control.add_provider(NewProvider(name="work", kind="openai", base_url=f"{up.url}/v1", local=True, key=up.key))
        assert provider(again).traffic is None, "another account of that name begins anew"
