"""One exchange in full: what was asked, where it went, how long it took, what it cost, what left this machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

from PySide6.QtCore import QPoint, Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.core.records import HIDDEN, Exchange
from app.gui import curl, exchanges, theme
from app.gui import format as fmt
from app.gui.charts import Stretch, TimeBar
from app.gui.header import menu_text, styled_menu
from app.gui.labels import Elided, Label, Line, Run
from app.gui.state import State
from app.gui.widgets import Button, Glyph, hairline, row_of
from app.gui.words import plural, tr

WIDTH = 288
_OWN = "own "


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the route: an icon, a line in runs, and what follows from it."""

    glyph: str
    ink: str
    runs: tuple[Run, ...]
    detail: str


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str
    mono: bool = False


@dataclass(frozen=True, slots=True)
class View:
    short_id: str
    title: str
    subtitle: str
    steps: tuple[Step, ...]
    message: str
    timing: str
    stretches: tuple[Stretch, ...]
    tokens: tuple[Fact, ...]
    sent: tuple[Fact, ...]
    can_price: bool


def present(row: Exchange, zone: tzinfo | None = None, *, keeps: bool = False) -> View:
    """keeps: answers may be kept for its client, as allowed now."""
    seen = exchanges.verdict(row)
    how = tr("streamed") if row.stream else tr("in one piece")
    spoken = _ENDPOINTS.get(row.endpoint, row.endpoint)
    return View(
        short_id=fmt.short_id(row.id),
        title=seen.sentence,
        subtitle=" · ".join(part for part in (fmt.clock_exact(row.opened_us, zone), f"{spoken}, {how}" if spoken else "") if part),
        steps=_steps(row, seen),
        message=row.message,
        timing=tr("Timing, {time}", time=fmt.duration(row.duration_us)) if row.duration_us is not None else "",
        stretches=_stretches(row),
        tokens=_token_facts(row),
        sent=_sent_facts(row, keeps=keeps),
        can_price=bool(row.account and row.model) and row.cost_microusd is None and fmt.cost(row) != fmt.ABSENT,
    )


def _steps(row: Exchange, seen: exchanges.Verdict) -> tuple[Step, ...]:
    who = row.client or tr("Someone without a known key")
    asked = row.asked or (tr("the list of models") if row.endpoint == "models" else "")
    # Without a name nobody knows whether there was one: what is turned away at the door is not read.
    did = (Run(tr("asked for "), "tx"), Run(asked, "tx", strong=True)) if asked else (Run(tr("sent a request"), "tx"),)
    steps = [Step("arrow-right", "tx3", (Run(f"{who} ", "tx"), *did), _told_apart(row))]
    inks = {"ok": "oki", "wa": "wai", "er": "eri"}
    ink = inks.get(seen.tone, "tx3")
    if row.outcome == "completed" and not row.account:
        steps.append(Step(seen.glyph, ink, (Run(tr("Answered by Gatehouse itself, no provider was asked"), "tx"),), _status(row)))
        return tuple(steps)
    if row.outcome == "refused" or not row.account:
        turned = tr("Turned away before any provider was asked")
        if row.outcome == "interrupted":
            turned = tr("Gatehouse was stopped before any provider was asked")
        steps.append(Step(seen.glyph, ink, (Run(turned, "tx"),), _status(row)))
        return tuple(steps)
    if row.attempts > 1:
        tries = plural(row.attempts - 1, "{n} try did not answer", "{n} tries did not answer")
        steps.append(Step("warning-fill", "wai", (Run(tries, "tx"),), ""))
    served = (Run(row.model or row.asked, "tx", strong=True), Run(tr(" at "), "tx"), Run(row.account, "tx"))
    first = "" if row.first_byte_us is None else tr("first bytes after {time}", time=fmt.duration(row.first_byte_us))
    steps.append(Step(seen.glyph, ink, served, ", ".join(part for part in (_status(row), first) if part)))
    return tuple(steps)


def _told_apart(row: Exchange) -> str:
    if row.asked and row.account and row.asked == f"{row.account}/{row.model}":
        return tr("named with its account")
    if row.asked and row.account and row.asked == row.model:
        return tr("a bare name: one account offers it")
    return ""


def _status(row: Exchange) -> str:
    return tr("status {status}", status=row.status) if row.status else ""


def _stretches(row: Exchange) -> tuple[Stretch, ...]:
    if not row.duration_us:
        return ()
    if row.first_byte_us is None or not 0 < row.first_byte_us < row.duration_us:
        return (Stretch(tr("all {time}", time=fmt.duration(row.duration_us)), row.duration_us, "c2"),)
    rest = row.duration_us - row.first_byte_us
    last = tr("stream {time}", time=fmt.duration(rest)) if row.stream else tr("reply {time}", time=fmt.duration(rest))
    return (Stretch(tr("wait {time}", time=fmt.duration(row.first_byte_us)), row.first_byte_us, "c2"), Stretch(last, rest, "acc"))


def _token_facts(row: Exchange) -> tuple[Fact, ...]:
    tokens = row.tokens
    came_in = fmt.count(tokens.input)
    if tokens.cached:
        came_in = tr("{n} · {cached} from cache", n=came_in, cached=fmt.count(tokens.cached))
    out = fmt.count(tokens.output)
    if tokens.reasoning:
        out = tr("{n} · {thought} reasoning", n=out, thought=fmt.count(tokens.reasoning))
    facts = [Fact(tr("Tokens in"), came_in)]
    if tokens.cache_write:
        facts.append(Fact(tr("Cache write"), fmt.count(tokens.cache_write)))
    facts.append(Fact(tr("Tokens out"), out))
    if tokens.estimated:
        facts.append(Fact(tr("Counted by"), tr("Gatehouse, an estimate")))
    facts.append(Fact(tr("Cost"), fmt.cost_full(row)))
    if row.price == "local":
        facts.append(Fact(tr("Price from"), tr("this machine, no price")))
    elif row.price.startswith(_OWN):
        facts.append(Fact(tr("Price from"), tr("you, set {day}", day=fmt.iso_day(row.price.removeprefix(_OWN)))))
    elif row.price:
        facts.append(Fact(tr("Price from"), tr("table of {day}", day=fmt.iso_day(row.price))))
    else:
        facts.append(Fact(tr("Price from"), fmt.ABSENT))
    return tuple(facts)


def _sent_facts(row: Exchange, *, keeps: bool) -> tuple[Fact, ...]:
    if row.host:
        facts = [Fact(tr("Left to"), row.host, mono=True)]
        sent = fmt.size(row.bytes_out)
        if row.connection is not None:
            sent = tr("{size}, connection {n}", size=sent, n=row.connection)
        facts += [Fact(tr("Sent"), sent), Fact(tr("Received"), fmt.size(row.bytes_in))]
    else:
        facts = [Fact(tr("Left to"), tr("nowhere"))]
    if row.removed_headers:
        facts.append(Fact(tr("Removed"), plural(row.removed_headers, "{n} header", "{n} headers")))
    parts = row.dropped.split(", ") if row.dropped else []
    if hidden := [part.removeprefix(HIDDEN) for part in parts if part.startswith(HIDDEN)]:
        facts.append(Fact(tr("Hidden"), ", ".join(hidden)))
    if dropped := [part for part in parts if not part.startswith(HIDDEN)]:
        facts.append(Fact(tr("Dropped"), ", ".join(dropped)))
    # Only answers of the Responses API are ever kept, and only where the person allowed it for that client.
    kept = keeps and row.endpoint == "responses" and row.outcome == "completed"
    facts.append(Fact(tr("Content"), tr("Answer kept, if it asked for it") if kept else tr("Not stored")))
    return tuple(facts)


class Inspector(QFrame):
    """`closed`: it was closed. `moved`: the row before (-1) or after (1) is wanted. `wanted` carries an intent: `copy:…`, `audit-of:ID`,
    `network:CONNECTION`, `set-price:ACCOUNT/MODEL`."""

    closed = Signal()
    moved = Signal(int)
    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("role", "inspector")
        theme.follow(self, lambda: self.setFixedWidth(theme.current().px(WIDTH)))
        self._row: Exchange | None = None
        self._address = ""
        self._view: View | None = None
        whole = QVBoxLayout(self)
        whole.setContentsMargins(1, 0, 0, 0)
        whole.setSpacing(0)
        head = QVBoxLayout()
        head.setContentsMargins(16, 12, 10, 12)
        head.setSpacing(2)
        self._id = Label("", "mono", "tx2", self)
        up = Button(kind="ghost", glyph="caret-up", small=True, name=tr("Newer request"), parent=self)
        down = Button(kind="ghost", glyph="caret-down", small=True, name=tr("Older request"), parent=self)
        close = Button(kind="ghost", glyph="x", small=True, name=tr("Close"), parent=self)
        up.clicked.connect(self._on_up)
        down.clicked.connect(self._on_down)
        close.clicked.connect(self.closed)
        head.addLayout(row_of(self._id, None, up, down, close, spacing=4))
        self._title = Label("", "card", "tx", self).wrapped()
        self._subtitle = Label("", "small", "tx3", self).wrapped()
        head.addWidget(self._title)
        head.addWidget(self._subtitle)
        whole.addLayout(head)
        whole.addWidget(hairline(self))

        area = QScrollArea(self)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area = area
        whole.addWidget(area, 1)
        whole.addWidget(hairline(self))
        foot = QHBoxLayout()
        foot.setContentsMargins(12, 12, 8, 12)
        foot.setSpacing(6)
        entry = Button(tr("Audit entry"), glyph="file-text", small=True, parent=self)
        entry.clicked.connect(self._on_entry)
        copy = Button(tr("Copy as curl"), glyph="copy", small=True, parent=self)
        copy.setToolTip(tr("Without the key and without the prompt"))
        copy.clicked.connect(self._on_curl)
        self._more = Button(kind="ghost", glyph="dots-three", small=True, name=tr("More about this request"), parent=self)
        self._more.clicked.connect(self._open_menu)
        foot.addWidget(entry)
        foot.addWidget(copy)
        foot.addWidget(self._more, 1, Qt.AlignmentFlag.AlignRight)
        whole.addLayout(foot)

    def row(self) -> Exchange | None:
        return self._row

    def show_row(self, row: Exchange, state: State) -> None:
        self._address = state.address
        clients = state.snapshot.clients if state.snapshot is not None else ()
        view = present(row, keeps=any(client.name == row.client and client.keeps_content for client in clients))
        if (row, view) == (self._row, self._view):
            return
        self._row, self._view = row, view
        self._id.setText(view.short_id)
        self._id.setToolTip(row.id)
        self._title.setText(view.title)
        self._subtitle.setText(view.subtitle)
        self._area.setWidget(self._build(view))
        self.setAccessibleName(tr("Request {id}: {title}", id=view.short_id, title=view.title))

    def _build(self, view: View) -> QWidget:
        inner = QWidget(self._area)
        inner.setProperty("role", "scrolled")
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        route = _section(column)
        route.setSpacing(10)
        route.addWidget(Label(tr("Why this route"), "heading", parent=inner))
        steps = QVBoxLayout()
        steps.setSpacing(0)
        for number, step in enumerate(view.steps):
            steps.addWidget(_StepLine(step, number == len(view.steps) - 1, inner))
        route.addLayout(steps)
        if view.message:
            route.addWidget(Label(view.message, "small", "tx2", inner).wrapped().selectable())
        if view.stretches:
            column.addWidget(hairline(inner))
            timing = _section(column)
            timing.addWidget(Label(view.timing, "heading", parent=inner))
            bar = TimeBar(inner)
            bar.show_parts(view.stretches)
            timing.addWidget(bar)
        for facts in (view.tokens, view.sent):
            column.addWidget(hairline(inner))
            section = _section(column)
            section.addLayout(_grid(facts, inner))
            if facts is view.tokens and view.can_price:
                price = Button(tr("Set a price"), "soft", small=True, parent=inner)
                price.clicked.connect(self._on_price)
                section.addLayout(row_of(price, None))
        column.addWidget(hairline(inner))
        column.addStretch(1)
        return inner

    @Slot()
    def _on_up(self) -> None:
        self.moved.emit(-1)

    @Slot()
    def _on_down(self) -> None:
        self.moved.emit(1)

    @Slot()
    def _on_entry(self) -> None:
        if self._row is not None:
            self.wanted.emit(f"audit-of:{self._row.id}")

    @Slot()
    def _on_curl(self) -> None:
        if self._row is not None:
            self.wanted.emit("copy:" + curl.command(self._row, self._address))

    @Slot()
    def _on_price(self) -> None:
        if self._row is not None:
            self.wanted.emit(f"set-price:{self._row.account}/{self._row.model}")

    def more(self) -> tuple[tuple[str, str], ...]:
        """What else can be done: words and intent."""
        row = self._row
        if row is None:
            return ()
        entries = [(tr("Copy request id"), f"copy:{row.id}")]
        if row.message:
            entries.append((tr("Copy the error"), f"copy:{row.message}"))
        if row.connection is not None and row.host:
            entries.append((tr("Show connection {n} on Network", n=row.connection), f"network:{row.connection}"))
        if row.account and row.model:
            entries.append((tr("Set a price for {model}", model=row.model), f"set-price:{row.account}/{row.model}"))
        return tuple(entries)

    @Slot()
    def _open_menu(self) -> None:
        menu = styled_menu(self)
        for words, intent in self.more():
            menu.addAction(menu_text(words)).triggered.connect(partial(self.wanted.emit, intent))
        corner = self._more.mapToGlobal(self._more.rect().topRight())
        menu.popup(corner - QPoint(menu.sizeHint().width(), menu.sizeHint().height()))


class _StepLine(QWidget):
    def __init__(self, step: Step, last: bool, parent: QWidget) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        rail = QVBoxLayout()
        rail.setContentsMargins(0, 2, 0, 0)
        rail.setSpacing(2)
        rail.addWidget(Glyph(step.glyph, 14, step.ink, self))
        if not last:
            line = QFrame(self)
            line.setProperty("role", "hairline")
            line.setFixedWidth(1)
            rail.addWidget(line, 1, Qt.AlignmentFlag.AlignHCenter)
        else:
            rail.addStretch(1)
        row.addLayout(rail)
        text = QVBoxLayout()
        text.setContentsMargins(0, 0, 0, 0 if last else 12)
        text.setSpacing(2)
        text.addWidget(Line(step.runs, "small", self))
        if step.detail:
            text.addWidget(Label(step.detail, "small", "tx3", self).wrapped())
        row.addLayout(text, 1)


def _section(column: QVBoxLayout) -> QVBoxLayout:
    inner = QVBoxLayout()
    inner.setContentsMargins(16, 12, 16, 12)
    inner.setSpacing(8)
    column.addLayout(inner)
    return inner


def _grid(facts: tuple[Fact, ...], parent: QWidget) -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(8)
    grid.setVerticalSpacing(6)
    theme.follow(parent, lambda: grid.setColumnMinimumWidth(0, theme.current().px(88)))
    grid.setColumnStretch(1, 1)
    for number, fact in enumerate(facts):
        grid.addWidget(Label(fact.name, "small", "tx3", parent), number, 0, Qt.AlignmentFlag.AlignTop)
        if " " in fact.value:
            grid.addWidget(Label(fact.value, "small", "tx", parent).wrapped(), number, 1)
        else:
            grid.addWidget(Elided(fact.value, "mono" if fact.mono else "small", "tx", parent, mode=Qt.TextElideMode.ElideMiddle), number, 1)
    return grid


_ENDPOINTS = {
    "responses": "OpenAI responses",
    "responses/input_tokens": "OpenAI token count",
    "generateContent": "Gemini",
    "streamGenerateContent": "Gemini",
    "countTokens": "Gemini token count",
    "chat/completions": "OpenAI chat",
    "completions": "OpenAI completions",
    "embeddings": "OpenAI embeddings",
    "models": "OpenAI models",
    "messages": "Anthropic messages",
    "messages/count_tokens": "Anthropic token count",
}
