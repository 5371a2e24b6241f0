"""What a chunk of a stream costs on the processor, in one dialect and between two: recorded events, the one with text many times over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, Scale
from tests.bench.rig import Rig
from tests.wire.bridging import NAMES, crossing

CHUNKS = 5_000
RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
# The recording, and what tells an event of text from the others.
TEXTS = {
    "openai": ("stream_text", b'"delta":{"content":" gate"}'),
    "responses": ("stream_reasoning_and_parallel_tools", b"response.output_text.delta"),
    "anthropic": ("stream_text", b"text_delta"),
    "gemini": ("stream_text_with_signature_last", b'"text": "Hi"'),
}


def translation(_rig: Rig, scale: Scale) -> Iterator[Figure]:
    """The part of the bench: all sixteen ways, nothing but `app.wire`."""
    for provider in NAMES:
        before, text, after = _events(provider)
        for client in NAMES:
            costs = [_cost_us(client, provider, before, text, after) for _ in range(scale.rounds)]
            same = client == provider
            name = f"a chunk of {provider}" + (", relayed" if same else f" for a client of {client}")
            yield Figure(part="translation", name=name, unit="us", values={"gateway": costs}, goal=None if same else 60)


def _events(provider: str) -> tuple[bytes, bytes, bytes]:
    """What comes before the first event of text, that event, and what follows it."""
    folder, mark = TEXTS[provider]
    whole = (RECORDINGS / provider / folder / "stream.txt").read_bytes()
    events = [event + b"\n\n" for event in whole.split(b"\n\n") if event]
    at = next(number for number, event in enumerate(events) if mark in event)
    return b"".join(events[:at]), events[at], b"".join(events[at + 1 :])


def _cost_us(client: str, provider: str, before: bytes, text: bytes, after: bytes) -> float:
    passing = crossing(client, provider, stream=True)
    passing.feed(before)
    began = time.process_time_ns()
    for _ in range(CHUNKS):
        assert passing.feed(text)
    spent = time.process_time_ns() - began
    passing.feed(after)
    passing.finish()
    assert passing.complete
    return spent / CHUNKS / 1000
