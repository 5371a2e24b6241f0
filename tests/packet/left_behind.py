"""What a taken engine leaves behind, inside a namespace of its own: `python -m tests.packet.left_behind RESULT [--unlocked]`.

Code planted in a dependency of a copy of this installation leaves files where the next start would run them, and dies. What is revived, the
next command and the next start are watched: a plant that is run calls an address that nobody declared. Writes what was seen to RESULT as
JSON; asserts nothing.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.attacks.__main__ import installed
from tests.attacks.inside import observe
from tests.attacks.inside.campaign import Mark, leave
from tests.attacks.inside.taken import Planted, altered, anatomy
from tests.attacks.stage import Gateway
from tests.packet import world
from tests.packet.capture import Allowed, Capture, judge

UNDECLARED = "198.51.100.90"
WATCHED_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("--unlocked", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gatehouse-left-") as folder:
        found = tell(Path(folder), locked=not options.unlocked)
    options.result.write_text(json.dumps(found))
    return 0


def tell(folder: Path, *, locked: bool) -> dict[str, Any]:
    world.build(folder)
    captures = Capture("exit0"), Capture("lo")
    copy = altered(anatomy(installed()), folder, locked=locked)
    one = Planted(copy, Gateway(copy.command, folder, "passphrase"))
    try:
        one.start()
        port = one.gateway.port
        before, plants = one.pid("engine"), _plants(one)
        said = one.run(
            leave, last=True, how="kill", plants={str(path): base64.b64encode(text.encode()).decode() for path, text in plants.items()}
        )
        revived = one.revived("engine", before)
        statuses = {"revived": observe.status_of(revived)}
        state = one.gateway.json("status").get("state", "")
        time.sleep(WATCHED_S)
        one.gateway.stop()
        try:
            one.start()
            statuses["next start"] = observe.status_of(one.pid("engine"))
        except RuntimeError as error:
            state = f"the next start failed: {error}"
        time.sleep(WATCHED_S)
        logs = one.log("engine") + one.log() + (folder / "serve.log").read_text(errors="replace")
    finally:
        one.end()
        for capture in captures:
            capture.stop()
    loopback = [packet for packet in captures[1].packets if one.gateway.port not in (packet.source_port, packet.target_port)]
    bad, _ = judge(captures[0].packets, loopback, Allowed(port, frozenset(), world.RESOLVER))
    return {
        "undeclared": bad, "statuses": statuses, "state": state,
        "tried": {name: what for name, what in said.items() if name.startswith("/")},
        "written": [one.short(path) for path, text in plants.items() if path.exists() and path.read_text() == text],
        "ran": sorted({line for line in logs.splitlines() if line.startswith("@@ran")}),
    }  # fmt: skip


def _plants(one: Planted) -> dict[Path, str]:
    mark, copy = Mark("left", 443, UNDECLARED), one.copy
    found = {
        copy.site / "zz-left.pth": mark.line("zz.pth"),
        copy.site / "sitecustomize.py": mark.python("sitecustomize"),
        copy.source / "app" / "sitecustomize.py": mark.python("app/sitecustomize"),
        copy.source / "app" / "json.py": mark.python("app/json"),
        one.own / "sitecustomize.py": mark.python("own/sitecustomize"),
        one.own / "json.py": mark.python("own/json"),
    }
    return found if os.access(copy.site, os.W_OK) else {}


if __name__ == "__main__":
    raise SystemExit(main())
