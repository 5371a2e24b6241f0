"""The child that touches keyrings and passphrases. It lives for seconds, does one thing at a time, and forgets everything at its end.

The keyring's library and the ciphers cost 20 MB and a passphrase 256 MB for a moment; the keeper does not carry that.

    open {wanted, prompt, passphrase, refused, run: hex | null} -> {mode, state, place, message, service, master: hex | null,
                                                                    runs: {keys, untagged} | null}
    runs {keys, untagged, sealing} -> {}
    secret_get {name, sealing} -> {secret}      secret_put {name, secret, sealing} -> {place}      secret_remove {name} -> {}
    audit_get {item, sealing} -> {secret: text | null}      audit_put {item, secret, sealing} -> {place}

The first frame is `boot {data_dir}`. The end of the channel is the end of the child.

With `boot {watch: true}` it answers nothing and touches no item: it says `locked {locked: true | false | null}` now and whenever that
changes, for as long as the channel lasts. Such a child needs neither the keyring's library nor the ciphers.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.core.errors import AppError
from app.core.runs import Runs
from app.core.secret import Secret
from app.keeper.sealing import SEALED_LABEL, derived
from app.system.channel import Channel, inherited, problem
from app.system.keyrings import system_keyring, watch_locks
from app.system.paths import Paths, default_data_dir
from app.system.processes import harden

if TYPE_CHECKING:
    from app.keeper.strongbox import Strongbox


def run(arguments: Sequence[str]) -> int:
    """The `vault` child: exit code 0 at the end of the channel, 2 when it was not started by the keeper."""
    try:
        channel = inherited(arguments)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    received = channel.receive()
    if received is None or received[0].get("op") != "boot":
        return 2
    boot = received[0]
    if boot.get("watch") is True:
        return _watch(channel)  # it holds no key, and what it is connected to may be looked at
    harden()
    return _serve(channel, Path(boot["data_dir"]))


def _watch(channel: Channel) -> int:
    """Tell of locks until the channel ends. The thread that waits on the bus ends with the process."""
    last: list[bool | None] = []

    def told(locked: bool | None) -> None:
        if last != [locked]:
            last[:] = [locked]
            with contextlib.suppress(OSError):
                channel.send({"op": "locked", "locked": locked})

    threading.Thread(target=watch_locks, args=(told,), name="locks", daemon=True).start()
    while channel.receive() is not None:
        pass
    return 0


def _serve(channel: Channel, folder: Path) -> int:
    """Answer until the channel ends."""
    from app.keeper.strongbox import Strongbox  # noqa: PLC0415 - the ciphers, which a child that watches does without

    strongbox = Strongbox(Paths(folder), system_keyring(), default_folder=folder == default_data_dir())
    while (received := channel.receive()) is not None:
        request = received[0]
        try:
            reply = _answer(strongbox, request)
        except AppError as error:
            reply = {"error": problem(error)}
        except Exception as error:  # noqa: BLE001 - the edge of the process; the text may hold a secret, so only its kind is told
            reply = {"error": problem(AppError("internal", f"The vault met an error of its own ({type(error).__name__})."))}
        try:
            channel.send({"re": request.get("id")} | reply)
        except OSError:
            break
    return 0


def _answer(strongbox: Strongbox, request: dict[str, Any]) -> dict[str, object]:
    match request:
        case {
            "op": "open",
            "wanted": "auto" | "keyring" | "passphrase" as wanted,
            "prompt": bool(prompt),
            "passphrase": str() | None as given,
            "refused": list(refused),
            "run": str() | None as run,
        }:
            opened = strongbox.open(wanted, prompt=prompt, passphrase=None if given is None else Secret(given), refused=refused)
            runs: Runs | None = None
            if run is not None and opened.master is not None:
                opened, runs = strongbox.begin_run(opened, bytes.fromhex(run), derived(opened.master, SEALED_LABEL))
            master = None if opened.master is None else opened.master.hex()
            view = {"mode": opened.mode, "state": opened.state, "place": opened.place, "message": opened.message}
            return view | {"service": opened.service, "master": master, "runs": None if runs is None else runs.fields()}
        case {"op": "runs", "sealing": str(sealing)}:
            strongbox.keep_runs(Runs.of_fields(request), bytes.fromhex(sealing))
            return {}
        case {"op": "secret_get", "name": str(name), "sealing": str(sealing)}:
            return {"secret": strongbox.get(name, bytes.fromhex(sealing)).reveal()}
        case {"op": "secret_put", "name": str(name), "secret": str(secret), "sealing": str(sealing)}:
            return {"place": strongbox.put(name, Secret(secret), bytes.fromhex(sealing))}
        case {"op": "secret_remove", "name": str(name)}:
            strongbox.remove(name)
            return {}
        case {"op": "audit_get", "item": str(item), "sealing": str(sealing)}:
            found = strongbox.audit_get(item, bytes.fromhex(sealing))
            return {"secret": None if found is None else found.reveal()}
        case {"op": "audit_put", "item": str(item), "secret": str(secret), "sealing": str(sealing)}:
            return {"place": strongbox.audit_put(item, Secret(secret), bytes.fromhex(sealing))}
        case _:
            raise AppError("internal", "The vault was asked something it does not know.")
