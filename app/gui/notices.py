"""What the window says at the top of a page: the worst thing that is true, or what was just done. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from app.control.contract import EchoResult, ProviderView, Snapshot
from app.core.stuck import Stuck, advice
from app.gui import accounts, waiting
from app.gui import format as fmt
from app.gui.state import EngineReport, Notice, State
from app.gui.theme import Tone
from app.gui.words import plural, tr

Act = Literal[
    "unlock", "passphrase", "start-engine", "show-log", "close", "note-read", "crashes-read", "copy-url", "test-again", "replace-key",
    "confirm", "refuse", "see-waiting",
]  # fmt: skip
_HOUR_US: Final = 3_600_000_000
_WAITS_S: Final = 5.0  # the keeper answers for an engine that stays away longer


@dataclass(frozen=True, slots=True)
class Choice:
    """A button of a banner. primary: the one to press. about: what it is about, which is what was shown when it was pressed."""

    act: Act
    words: str
    primary: bool = False
    about: str = ""


@dataclass(frozen=True, slots=True)
class Banner:
    """glyph, bold fact, consequence; code: a line of a log, shown as it is; below: a last line of advice. more: how many others there
    are."""

    tone: Tone
    glyph: str
    fact: str
    consequence: str = ""
    code: str = ""
    below: str = ""
    choices: tuple[Choice, ...] = ()
    more: int = 0


_GLYPHS: dict[Tone, str] = {
    "ok": "check-circle-fill", "wa": "warning-fill", "er": "x-circle-fill", "in": "info-fill", "ne": "info-fill",
}  # fmt: skip


def banner(state: State, *, note_read: bool = False, now_us: int = 0, crashes_read_us: int = 0) -> Banner | None:
    """One at a time, the worst first, and how many more there are. note_read: the person closed the remark about the port.
    crashes_read_us: when the remark about crashes was closed."""
    found = banners(state, note_read=note_read, now_us=now_us, crashes_read_us=crashes_read_us)
    return replace(found[0], more=len(found) - 1) if found else None


def banners(state: State, *, note_read: bool = False, now_us: int = 0, crashes_read_us: int = 0) -> list[Banner]:
    """All that is wrong, the worst first, whichever came first."""
    engine, proof = state.engine, state.proof
    if state.leaving:
        return []
    errors = [_notice_banner(one) for one in reversed(state.wrongs) if one.tone == "er"]
    remarks = [_notice_banner(one) for one in reversed(state.wrongs) if one.tone != "er"]
    if engine.state in ("crashed", "stopped"):
        return [_engine_banner(engine), *_waiting(state), *errors, *remarks]
    found = [*_of_the_snapshot(state), *_waiting(state), *errors]
    if proof is not None and not proof.ok and engine.state == "up":
        answers_not = Banner(
            "er", "x-circle-fill", tr("The gateway does not answer on {address}.", address=state.address), proof.message,
            choices=(Choice("show-log", tr("Show log")),),
        )  # fmt: skip
        found.append(answers_not)
    if state.port_note and not note_read:
        choices = (Choice("copy-url", tr("Copy new URL")), _close("note-read"))
        way = tr("Give them the new URL; or end that program, then quit Gatehouse and start it again.")
        fact = tr("Gatehouse listens on port {port}.", port=state.port)
        found.append(Banner("wa", "warning-fill", fact, state.port_note, below=way, choices=choices))
    stuck = [one for one in engine.stuck if one.at_us > max(crashes_read_us, now_us - _HOUR_US)]
    if stuck:
        found.append(_stood_still(stuck))
    crashes = [at_us for at_us in engine.crashes_us if at_us > max(crashes_read_us, now_us - _HOUR_US)]
    if crashes:
        found.append(_healed(crashes))
    return found + remarks


def _of_the_snapshot(state: State) -> list[Banner]:
    snapshot = state.snapshot
    if snapshot is None or not state.live:
        return []
    if snapshot.vault.state not in ("ready", "starting") and snapshot.state != "starting":
        return [_vault_banner(snapshot, fresh=state.fresh, asking=state.is_busy("unlock"))]
    if snapshot.state == "failing":
        failing = Banner(
            "er", "x-circle-fill", tr("Requests are refused: the ledger cannot be written."), snapshot.problem,
            below=tr("Clients get 503 until it can. Nothing that was answered is lost."), choices=(Choice("show-log", tr("Show log")),),
        )  # fmt: skip
        return [failing]
    return []


def _waiting(state: State) -> list[Banner]:
    """What the person is to decide: one banner each, so that the oldest stays where it is while more comes."""
    found = []
    for one in state.waiting:
        number = str(one.number)
        choices = (
            Choice("see-waiting", tr("Show all")), Choice("refuse", tr("Refuse"), about=number),
            Choice("confirm", tr("Confirm…"), about=number),
        )  # fmt: skip
        fact = tr("Held: {what}.", what=waiting.title(one))
        found.append(Banner("wa", "warning-fill", fact, waiting.state(one), choices=choices))
    return found


def _healed(crashes: Sequence[int]) -> Banner:
    fact = plural(
        len(crashes),
        "The gateway stopped unexpectedly and was started again.",
        "The gateway stopped unexpectedly and was started again {n} times in the last hour.",
    )
    consequence = tr("Last at {time}. What was being answered then broke off.", time=fmt.clock(max(crashes)))
    return Banner("wa", "warning-fill", fact, consequence, choices=(Choice("show-log", tr("Show log")), _close("crashes-read")))


def _stood_still(stuck: Sequence[Stuck]) -> Banner:
    """It runs again. What it was at is its own word."""
    last = stuck[-1]
    if last.work:
        fact = tr("The gateway did not answer for {n} s while it worked, as it says, on {work}.", n=last.silent_s, work=last.work)
    else:
        fact = tr("The gateway did not answer for {n} s while it worked.", n=last.silent_s)
    ended = plural(
        len(stuck),
        "It was ended and started again at {time}. What was being answered then broke off.",
        "That was at {time}, the last of {n} times in the last hour. Each time it was ended and started again.",
        time=fmt.clock(last.at_us),
    )
    choices = (Choice("show-log", tr("Show log")), _close("crashes-read"))
    return Banner("wa", "warning-fill", fact, ended, below=advice(stuck), choices=choices)


def _unanswering_banner(engine: EngineReport) -> Banner:
    """Just ended for that, and on its way back."""
    last = engine.stuck[-1]
    fact = tr("The gateway did not answer for {n} s and was ended", n=last.silent_s)
    if engine.next_s is not None and engine.next_s >= 1:
        consequence = tr("and starts again in {n} s. Requests that ran were cut off; new ones wait.", n=round(engine.next_s))
        if engine.next_s >= _WAITS_S:
            consequence = tr("and starts again in {n} s. Clients get 503 until then.", n=round(engine.next_s))
    else:
        consequence = tr("and is being started again. Requests that ran were cut off; new ones wait.")
    code = tr("It worked, as it says, on {work}.", work=last.work) if last.work else ""
    return Banner("wa", "warning-fill", fact, consequence, code, advice(engine.stuck), (Choice("show-log", tr("Show log")),))


def _engine_banner(engine: EngineReport) -> Banner:
    if engine.unanswering and engine.stuck:
        return _unanswering_banner(engine)
    at = fmt.clock(engine.at_us) if engine.at_us else ""
    fact = tr("The gateway stopped at {time}", time=at) if at else tr("The gateway stopped")
    last = engine.log[-1] if engine.log else ""
    code = " · ".join(part for part in (engine.exit, last) if part)
    if engine.state == "crashed":
        if engine.next_s is not None and engine.next_s >= 1:
            consequence = tr("and starts again in {n} s. Requests that ran were cut off; new ones wait.", n=round(engine.next_s))
        else:
            consequence = tr("and is being started again. Requests that ran were cut off; new ones wait.")
        return Banner("wa", "warning-fill", fact, consequence, code, choices=(Choice("show-log", tr("Show log")),))
    tries = plural(engine.restarts, "and did not come back after {n} restart.", "and did not come back after {n} restarts.")
    return Banner(
        "er", "x-circle-fill", fact, tr("{tries} Clients get 503.", tries=tries), code,
        tr("What was answered is in the ledger. The log says why it stopped."),
        (Choice("show-log", tr("Show log")), Choice("start-engine", tr("Start again"), primary=True)),
    )  # fmt: skip


def _vault_banner(snapshot: Snapshot, *, fresh: bool, asking: bool) -> Banner:
    """fresh: the data folder holds nothing yet, so that a passphrase can still be chosen for it. asking: the system shows its question."""
    vault = snapshot.vault
    place = vault.place or tr("The keyring")
    reach = _reach(snapshot)
    match vault.state:
        case "locked" if vault.mode == "passphrase" and fresh:
            choose = Choice("unlock", tr("Choose a passphrase…"), primary=True)
            return Banner("wa", "lock-key-fill", tr("This data folder has no passphrase yet."), reach, choices=(choose,))
        case "locked":
            if vault.mode == "passphrase":
                fact = tr("The keys are locked by your passphrase.")
            elif snapshot.state == "locked" or not vault.since_us:
                fact = tr("{place} is locked.", place=place)
            else:
                fact = tr("{place} was locked at {time}.", place=place, time=fmt.clock(vault.since_us)[:5])
            return Banner("wa", "lock-key-fill", fact, reach, choices=(_ask(tr("Unlock…"), asking=asking),))
        case "absent":
            advice = vault.message or tr("Start the system's keyring service, then look again.")
            if fresh:  # the keeper's words are for a terminal: they name options of the command line
                advice = tr("Nothing was written. Start a keyring service and look again, or keep keys in a file that a passphrase opens.")
            fact, again = tr("No keyring answers on this machine."), _ask(tr("Look again"), asking=asking, primary=not fresh)
            choices = (again, Choice("passphrase", tr("Use a passphrase…"), primary=True)) if fresh else (again,)
            return Banner("wa", "warning-fill", fact, reach, below=advice, choices=choices)
        case "denied":
            advice = vault.message or tr("Ask again, and allow Gatehouse in the question of the system.")
            fact = tr("{place} did not give the keys.", place=place)
            return Banner("wa", "warning-fill", fact, reach, below=advice, choices=(_ask(tr("Ask again"), asking=asking),))
        case _:
            advice = vault.message or tr("With the old key back in {place}, all is back. No new one was made.", place=place)
            fact = tr("The master key of this data folder is missing.")
            return Banner("er", "warning-fill", fact, reach, below=advice, choices=(_ask(tr("Look again"), asking=asking),))


def _ask(words: str, *, asking: bool, primary: bool = True) -> Choice:
    """The way to the keys. While the system's question is open, the button says so: the question may be behind another window."""
    return Choice("unlock", tr("Waiting for an answer…") if asking else words, primary=primary)


def _reach(snapshot: Snapshot) -> str:
    """What closed keys mean for the requests of clients: which accounts answer, and which do not."""
    if snapshot.state == "locked":
        return tr("Clients get 503 “keys locked” until the keys are here. Nothing is lost.")
    shut = [view.account.name for view in snapshot.providers if view.key_state == "unknown"]
    works = len(snapshot.providers) > len(shut)
    if not shut:
        said = tr("Requests go on with what is in memory. A key cannot be added or read now.")
        return said if works else tr("A key cannot be added or read now. Nothing is lost.")
    names = ", ".join(shut) if len(shut) <= 2 else plural(len(shut), "{n} provider", "{n} providers")
    said = tr("Clients get 503 “keys locked” for {names}.", names=names)
    return tr("{said} The others go on. Nothing is lost.", said=said) if works else tr("{said} Nothing is lost.", said=said)


def _notice_banner(notice: Notice) -> Banner:
    ways = [Choice("replace-key", tr("Replace key…"))] if notice.keyed else []
    ways += [Choice("test-again", tr("Test again"))] if notice.about else []
    return Banner(notice.tone, _GLYPHS[notice.tone], notice.fact, notice.consequence, choices=(*ways, _close("close")))


def toast(state: State) -> Banner | None:
    """What went well: seen for some seconds, over the page and not above it."""
    return None if state.news is None or state.leaving else _notice_banner(state.news)


def _close(act: Act) -> Choice:
    return Choice(act, "")


def echoed(result: EchoResult) -> Notice:
    """The test request came back. The text is the model's: it is shown as it is."""
    text = " ".join(result.text.split())
    text = text if len(text) <= 80 else text[:79] + "…"
    said = tr("gatehouse/echo said “{text}”", text=text if text[-1:] in tuple(".!?…") else f"{text}.")
    return Notice(
        tone="ok",
        fact=tr("The test request was answered in {time}.", time=fmt.duration(result.row.duration_us)),
        consequence=" ".join((said, *([] if result.row.host else [tr("It never left this machine.")]))),
    )


def tested(view: ProviderView) -> Notice | None:
    """The result of a test stands in the provider's row; only what is wrong is said at the top as well."""
    account = view.account
    if account.test_ok is not False:
        return None
    fact = tr("{name} did not pass its test.", name=account.name)
    return Notice(tone="wa", fact=fact, consequence=account.test_message, about=account.name, keyed=account.keyed)


def declared(message: dict[str, Any]) -> Notice:
    """The keeper's list of destinations changed. also: the other accounts that have the same one, by that list."""
    place = str(message.get("destination") or "")
    name = str(message.get("account") or "")
    also = message.get("also")
    users = accounts.listed([str(user) for user in also]) if isinstance(also, list) else ""
    if message.get("change") == "removed":
        fact = tr("{place} stays a destination.", place=place) if users else tr("{place} is no longer a destination.", place=place)
        said = (
            tr("{name} was removed; {users} still goes there.", name=name, users=users) if users else tr("{name} was removed.", name=name)
        )
        return Notice(tone="in", fact=fact, consequence=said)
    fact = tr("{name} goes to {place}, too.", name=name, place=place) if users else tr("New destination: {place}.", place=place)
    said = tr("It was declared for {users} before.", users=users) if users else tr("Declared for {name}.", name=name)
    more = tr("A test of the account goes there, and what clients ask of it.")
    return Notice(tone="in", fact=fact, consequence=f"{said} {more}")
