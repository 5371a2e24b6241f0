"""The filter of Activity reaches what is not loaded."""

from __future__ import annotations

import pytest

from app.control.contract import ActivityNames, RowFilter
from app.control.contract import ActivityPage as Answer
from app.gui import finding
from app.gui.pages.activity import ActivityPage
from tests.gui.conftest import Wait
from tests.gui.desk import Desk, exchange

NAMES = ActivityNames(clients=("Claude Code", "Zed"), providers=("work", "claude"), models=("gpt-5", "gpt-5-mini", "claude-sonnet"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("req_01KAF", RowFilter(id="req_01KAF")),
        ("429", RowFilter(statuses=("429",))),
        ("5XX", RowFilter(statuses=("5xx",))),
        ("Failed", RowFilter(statuses=("failed",))),
        ("zed", RowFilter(clients=("Zed",))),
        ("GPT-5", RowFilter(models=("gpt-5",))),
        ("gpt", RowFilter(models=("gpt-5", "gpt-5-mini"))),
        ("claude", RowFilter(providers=("claude",))),
        (" rate limit ", RowFilter(text="rate limit")),
        ("999", RowFilter(text="999")),
    ],
)
def test_what_is_typed_is_understood(text: str, expected: RowFilter) -> None:
    assert finding.wanted(text, NAMES) == expected


def test_a_row_far_below_is_found_and_gone_again_with_the_filter(desk: Desk, wait: Wait) -> None:
    desk.server.rows = [
        exchange(n, message="a rare word" if n == 3 else "", outcome="failed" if n == 3 else "completed") for n in range(400)
    ]
    desk.window.open_page("activity")
    page = desk.window.findChild(ActivityPage)
    assert page is not None
    wait(lambda: page._rows.rowCount() >= 100)
    loaded = page._rows.rowCount()
    assert loaded < 390
    asked = len(desk.server.asked)
    page._filter.line.setText("rare word")
    wait(lambda: any("text=rare%20word" in one[1] for one in desk.server.asked[asked:]))
    page._on_searched("rare word", Answer(rows=(desk.server.rows[3],)))
    wait(lambda: page._found.rowCount() == 1)
    page._filter.line.setText("")
    wait(lambda: not page._searched)
    wait(lambda: 100 <= page._rows.rowCount() <= loaded and desk.server.rows[3].id not in {row.id for row in page._rows.rows()})
