"""I51: messages that are none."""

from __future__ import annotations

from tests.attacks.inside import flood
from tests.attacks.inside.taken import taken
from tests.attacks.judge import every
from tests.attacks.registry import KEEPS, Seen, attack
from tests.attacks.stage import Stage


def claims_four_gigabytes(here) -> None:  # type: ignore[no-untyped-def]
    import time

    line = here.caller().channel._socket
    line.sendall(b"\xff\xff\xff\xff")
    for _ in range(1_000):
        line.sendall(bytes(1 << 20))
    time.sleep(60)


def stops_half_way(here) -> None:  # type: ignore[no-untyped-def]
    import time

    line = here.caller().channel._socket
    line.sendall((8 << 20).to_bytes(4, "big") + bytes(3 << 20))
    time.sleep(6)


def nests_deeply(here) -> None:  # type: ignore[no-untyped-def]
    line = here.caller().channel._socket
    for body in (b"[" * 4_000_000, b'{"op":"declare","id":1,"port":' + b"9" * 4_000_000 + b"}"):
        line.sendall(len(body).to_bytes(4, "big") + body)


@attack(
    "I51",
    "engine claims a message of 4 GB; window sends half a message, then 4 million brackets",
    promise=KEEPS,
    expected="the line ends, the keeper goes on",
    short=False,
)
def broken_frames(stage: Stage) -> Seen:
    """Read into memory before anybody looks at it, or waited for with everything else held up."""
    rows = []
    for verb, code in (("gui", stops_half_way), ("gui", nests_deeply), ("engine", claims_four_gigabytes)):
        seen = flood.judged(stage, taken(stage), code, verb, dies=True)
        rows.append((code.__name__.replace("_", " "), seen.held, seen.observed))
    return every(rows, "messages")
