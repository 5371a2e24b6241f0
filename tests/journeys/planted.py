"""The real engine with code planted in it: a thread that speaks to the keeper over the engine's own channel, as a script says.

Started by `taken.py` as `planted.py SCRIPT engine --channel N`. SCRIPT is a JSON list of steps, done once the engine has opened its store:
`{"op": OP, ...}` (one question to the keeper; `times`: so often, only the last answer is told), `{"added": NAME}` (wait until there is
one), `{"until": {"op": ...}}` (ask until it is not refused). Each answer is a line on standard error, which is engine.log.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

MARK = "PLANTED "


def tell(answer: dict[str, Any]) -> None:
    sys.stderr.write(f"{MARK}{json.dumps(answer)}\n")
    sys.stderr.flush()


def found(module: str, name: str) -> Any:
    """The first object of that class. Nothing is imported here: the engine does that when it is locked, and so would not be ours."""
    while True:
        kind = getattr(sys.modules.get(module), name, None)
        gc.unfreeze()
        for each in gc.get_objects() if kind is not None else ():
            if type(each) is kind:
                return each
        time.sleep(0.05)


def ask(caller: Any, step: dict[str, Any]) -> dict[str, Any]:
    from app.core.errors import AppError

    fields = {name: value for name, value in step.items() if name not in ("op", "times")}
    for _ in range(step.get("times", 1) - 1):
        caller.send(step["op"], {name: value.replace("#", str(_)) if isinstance(value, str) else value for name, value in fields.items()})
    try:
        answer, sockets = caller.call(step["op"], fields)
    except AppError as error:
        return {"error": error.code, "message": error.message}
    for each in sockets:
        each.sendall(b"leak")
        each.close()
    return answer | {"sockets": len(sockets)}


def act(script: list[dict[str, Any]]) -> None:
    caller, opened = found("app.engine.lifeline", "Lifeline")._caller, found("app.engine.status", "Opened")
    for step in script:
        match step:
            case {"added": str(name)}:
                while name not in opened.accounts._entries:
                    time.sleep(0.05)
                time.sleep(0.5)  # its own test is over
            case {"until": dict(asked)}:
                while "error" in (answer := ask(caller, asked)):
                    time.sleep(0.1)
                tell({"step": step} | answer)
            case _:
                tell({"step": step} | ask(caller, step))
    tell({"step": "end"})


def main() -> int:
    threading.Thread(target=act, args=(json.loads(sys.argv[1]),), daemon=True).start()
    from app.__main__ import main as run

    return run(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
