"""C and G: what lies in the folder in which a command is started."""

from __future__ import annotations

from tests.attacks.judge import every
from tests.attacks.registry import CODE, Seen, attack
from tests.attacks.stage import Stage

PLANTED = ("json.py", "hashlib.py", "argparse.py", "sitecustomize.py", "usercustomize.py", "msgspec.py", "app.py", "platformdirs.py")


@attack("G1", "modules planted in the folder where commands are started", promise=CODE, expected="never imported")
def working_folder(stage: Stage) -> Seen:
    """A folder from the internet, a terminal opened in it, and `gatehouse status`: nothing of that folder may run."""
    place = stage.folder / "downloads"
    (place / "app").mkdir(parents=True, exist_ok=True)
    mark = stage.folder / "ran-planted"
    text = f"open({str(mark)!r}, 'a').write(__file__)\n"
    for name in (*PLANTED, "app/__init__.py", "app/__main__.py"):
        (place / name).write_text(text)
    rows = []
    for words in (("status",), ("client", "list"), ("audit", "status")):
        stage.gateway.cli(*words, cwd=place, check=False)
        rows.append((" ".join(words), not mark.exists(), mark.read_text() if mark.exists() else ""))
    return every(rows, "commands")
