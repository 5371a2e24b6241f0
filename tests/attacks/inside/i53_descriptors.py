"""I53: descriptors that nobody asked for."""

from __future__ import annotations

from tests.attacks.inside import flood
from tests.attacks.inside.taken import taken
from tests.attacks.registry import KEEPS, Seen, attack
from tests.attacks.stage import Stage


def sends_descriptors(here) -> None:  # type: ignore[no-untyped-def]
    import array
    import errno
    import json
    import os
    import socket

    channel = here.caller().channel
    left, right = socket.socketpair()
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)] + [left.fileno(), right.fileno()] * 76
    body = json.dumps({"op": "planted", "id": 1}).encode()
    for number in range(300):
        rights = array.array("i", files[: (1, 16, 17, 100, 252)[number % 5]])
        try:
            with channel._sending:
                channel._socket.sendmsg([len(body).to_bytes(4, "big") + body], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:  # the system's own bound for an ordinary user: the keeper has not read so far
                raise
    for number in files[:100]:
        os.close(number)
    left.close()
    right.close()


@attack(
    "I53",
    "engine sends 300 messages with up to 252 descriptors each",
    promise=KEEPS,
    expected="closed, the keeper's number of descriptors does not grow",
)
def descriptors(stage: Stage) -> Seen:
    """A keeper without a free descriptor dials for nobody and lets nobody in."""
    return flood.judged(stage, taken(stage), sends_descriptors)
