"""What the door costs: a connection through the keeper against one made directly, both to the loopback; a kept connection costs nothing."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator

from app.egress.tripwire import arm
from app.keeper.broker import Broker
from app.system.channel import Caller, Channel, Message, pair
from tests.bench.figures import Figure, Scale
from tests.bench.rig import Rig
from tests.keeper.consenting import Willing

ROUNDS = 1_000


def dialling(_rig: Rig, scale: Scale) -> Iterator[Figure]:
    """The part of the bench. The goal is 250 us for what the door adds to a new connection."""
    found = [run(ROUNDS // 5) for _ in range(scale.rounds)]
    names = {"direct": "direct_us", "gateway": "door_us"}
    values = {side: [each[name] for each in found] for side, name in names.items()}
    yield Figure(part="door", name="a new connection", unit="us", values=values)
    yield Figure(part="door", name="what the door adds", unit="us", values={"gateway": [each["extra_us"] for each in found]}, goal=250)


def run(rounds: int = ROUNDS) -> dict[str, float]:
    """Microseconds at the median: a direct connection, one that was asked for over the channel, and the difference."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    port = listener.getsockname()[1]
    threading.Thread(target=_take, args=(listener,), daemon=True).start()
    broker = Broker(1, lambda *_: None, lambda line: None, consent=Willing())
    broker.declare("work", "http", "127.0.0.1", port, True)
    keeper_end, engine_end = pair()

    def answer(message: Message, _sockets: list[socket.socket]) -> None:
        if message["op"] == "dial":
            made = broker.dial(message["account"])
            keeper.reply(message, {"connection": made.connection, "address": made.address}, made.sock)
        else:
            broker.closed(message["connection"])

    keeper = Caller(keeper_end, answer, lambda: None, "keeper")
    engine = Caller(Channel(engine_end), lambda message, sockets: None, lambda: None, "engine")
    keeper.start()
    engine.start()
    direct, asked = [], []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        made = socket.create_connection(("127.0.0.1", port))
        direct.append((time.perf_counter_ns() - began) / 1000)
        made.close()
        began = time.perf_counter_ns()
        reply, sockets = engine.call("dial", {"account": "work"})
        asked.append((time.perf_counter_ns() - began) / 1000)
        sockets[0].shutdown(socket.SHUT_RDWR)
        sockets[0].close()
        engine.send("closed", {"connection": reply["connection"]})
    listener.close()
    figures = {"direct_us": statistics.median(direct), "door_us": statistics.median(asked)}
    return figures | {"extra_us": figures["door_us"] - figures["direct_us"]}


def _take(listener: socket.socket) -> None:
    while True:
        try:
            made, _ = listener.accept()
        except OSError:
            return
        made.close()


if __name__ == "__main__":
    with arm("keeper").permitted():  # the hook is there, as in the keeper, also where this program only measures
        for name, value in run().items():
            print(f"{name:10} {value:8.1f}")
