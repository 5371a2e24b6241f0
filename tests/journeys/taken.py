"""A gateway whose engine is not ours any more: see `planted`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from app.system.paths import Paths
from tests.gateway import Gateway, wait_for
from tests.journeys.planted import MARK

PLANTED = Path(__file__).with_name("planted.py")
PROGRAM = """
import sys
import app.keeper.main as keeper
from app.cli import main
from app.system.children import own_command
planted, real = sys.argv[1:4], keeper.Options
keeper.Options = lambda **given: real(**given, command=lambda verb: [*planted, verb] if verb == "engine" else own_command(verb))
sys.exit(main(sys.argv[4:]))
"""


class Taken(Gateway):
    """script: what the planted code does, see `planted`."""

    def __init__(self, folder: Path, *script: dict[str, Any], vault: str = "passphrase") -> None:
        super().__init__(folder, vault=vault)
        self.program = [sys.executable, "-c", PROGRAM, sys.executable, str(PLANTED), json.dumps(script)]

    def told(self, count: int = 0) -> list[dict[str, Any]]:
        """The answers that the planted code got, all of them once it has ended, or the first `count`."""
        log = Paths(self.folder).logs / "engine.log"

        def answers() -> list[dict[str, Any]]:
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            return [json.loads(line.removeprefix(MARK)) for line in lines if line.startswith(MARK)]

        wait_for(lambda: (len(answers()) >= count) if count else any(one["step"] == "end" for one in answers()), "the planted code", 60)
        return [one for one in answers() if one["step"] != "end"]

    def keeper_log(self) -> str:
        return (Paths(self.folder).logs / "keeper.log").read_text()

    def waiting(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cli_json("confirm")["waiting"]
        return found
