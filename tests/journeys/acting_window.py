"""The real window's process, locked as ever, with hands: it opens pages and exports into the folder that it was given.

Started as `acting_window.py FOLDER gui --channel N`. What it exported is in the folder; what it was told stands in its log, one line a
notice.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.__main__ import _lock

_lock("gui")

from PySide6.QtCore import QTimer  # noqa: E402 - behind the locks, as in the program

from app.gui import main  # noqa: E402

FOLDER = Path(sys.argv[1])


class Acting(main.Desk):
    """One step a tick, each when the one before is over."""

    def _after_first_paint(self) -> None:
        super()._after_first_paint()
        self.steps = [self.requests, self.log, self.report, self.nothing_new, self.by_itself]
        self.said: list[str] = []
        self.shown: set[str] = set()
        self.tick = QTimer(self)
        self.tick.setInterval(50)
        self.tick.timeout.connect(self.act)
        self.tick.start()

    def say(self, line: str) -> None:
        print(f"ACT {line}", file=sys.stderr, flush=True)

    def act(self) -> None:
        state = self.session.state
        for notice in (state.news, state.wrong):
            if notice is not None and notice.fact not in self.shown:
                self.shown.add(notice.fact)
                self.say(f"{notice.fact} {notice.consequence}")
        if not state.live or state.snapshot is None or state.snapshot.state != "running" or state.snapshot.audit_seq < 3:
            return
        if self.steps and self.steps[0]():
            self.steps.pop(0)
            if not self.steps:
                self.say("done")

    def page(self, name: str) -> Any:
        if name != self.window.page().NAME:
            self.window.open_page(name)
        return self.window.page()

    def requests(self) -> bool:
        page = self.page("activity")
        if "requests" not in self.shown:
            if page._tail.question is None:
                return False
            self.shown.add("requests")
            page._export.said.connect(lambda words: self.say(f"requests: {words}"))
            page._export.export_to(FOLDER / "requests.jsonl")
        return not page._export.is_writing()

    def log(self) -> bool:
        page = self.page("audit")
        if page._status is None:
            return False
        if "log" not in self.shown:
            self.shown.add("log")
            page.export_into(str(FOLDER))
        return not page._export.is_writing()

    def report(self) -> bool:
        page = self.page("network")
        if page._view is None:
            return False
        if "report" not in self.shown:
            self.shown.add("report")
            page.export_into(str(FOLDER))
        return any("signed report" in fact for fact in self.shown)

    def nothing_new(self) -> bool:
        """A name that is taken."""
        page = self.page("activity")
        if "again" not in self.shown:
            self.shown.add("again")
            page._export.export_to(FOLDER / "requests.jsonl")
        return not page._export.is_writing()

    def by_itself(self) -> bool:
        """Whether this process could have written them."""
        try:
            (FOLDER / "by-itself.csv").write_text("x")
            self.say("it writes by itself")
        except OSError as error:
            self.say(f"it cannot write by itself: {error.strerror}")
        return True


main.Desk = Acting  # type: ignore[misc]
sys.exit(main.run(sys.argv[2:]))
