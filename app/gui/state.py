"""What the window knows, as one value, and what the header makes of it. Pure.

Green is earned: the pill says "Running" only while the last proof (a nonce that our own listener answered) is good and recent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.control.contract import HostView, Snapshot
from app.core.records import Exchange
from app.core.stuck import Stuck
from app.gui.theme import Tone
from app.gui.words import tr

Dialect = Literal["openai", "anthropic"]
EngineIs = Literal["starting", "up", "crashed", "stopped"]

# The keeper asks for a proof every 3 s; three missed ones are no proof.
PROOF_STALE_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What the keeper says first. control: where the engine's control API is. port_note: why the port is not the usual one, or ""."""

    data_dir: str
    control: str
    port: int
    addresses: tuple[str, ...]
    port_note: str = ""
    tray: bool = True
    version: str = ""

    @staticmethod
    def of(message: dict[str, Any]) -> Boot:
        port = int(message["port"])
        return Boot(
            data_dir=str(message["data_dir"]),
            control=str(message["control"]),
            port=port,
            addresses=tuple(str(address) for address in message.get("addresses") or (f"127.0.0.1:{port}",)),
            port_note=str(message.get("port_note") or ""),
            tray=bool(message.get("tray", True)),
            version=str(message.get("version") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """The keeper's word on the engine process. next_s: when it is started again, or None. log: its last lines. crashes_us: when it
    ended unexpectedly, in the hour before the report. stuck: how it stood still and was ended, in that hour, the newest last; unanswering:
    that is why it does not run now."""

    state: EngineIs = "starting"
    restarts: int = 0
    next_s: float | None = None
    exit: str = ""
    log: tuple[str, ...] = ()
    at_us: int = 0
    crashes_us: tuple[int, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    unanswering: bool = False

    @staticmethod
    def of(message: dict[str, Any]) -> EngineReport:
        said = str(message.get("state", "starting"))
        states: dict[str, EngineIs] = {"starting": "starting", "up": "up", "crashed": "crashed", "stopped": "stopped"}
        code = message.get("exit")
        pause = message.get("next_s")
        return EngineReport(
            state=states.get(said, "crashed"),
            restarts=int(message.get("restarts") or 0),
            next_s=None if pause is None else float(pause),
            exit="" if code is None else str(code),
            log=tuple(str(line) for line in message.get("log") or ()),
            at_us=int(message.get("at_us") or 0),
            crashes_us=tuple(int(at_us) for at_us in message.get("crashes_us") or ()),
            stuck=tuple(Stuck.of(one) for one in message.get("stuck") or ()),
            unanswering=message.get("unanswering") is True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofReport:
    """The keeper's last proof. heard_s: when it was heard, on the monotonic clock."""

    ok: bool
    message: str
    at_us: int
    heard_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What the keeper does only once the person confirms it. kind: held, setting or refused; what, subject, value: the change, exactly;
    used: what counts meanwhile. asked: somebody still asks for it."""

    number: int
    kind: str
    what: str
    subject: str
    value: str
    used: str = ""
    at_us: int = 0
    asked: bool = True

    @staticmethod
    def of(item: dict[str, Any]) -> Waiting:
        texts = {name: str(item.get(name) or "") for name in ("kind", "what", "subject", "value", "used")}
        return Waiting(number=int(item["number"]), at_us=int(item.get("at_us") or 0), asked=item.get("asked") is not False, **texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that was just done or went wrong. about: the account whose test failed, or ""; keyed: it has a key."""

    tone: Tone
    fact: str
    consequence: str = ""
    about: str = ""
    keyed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """live: the event stream is open; streams: how many there were so far. recent: the newest exchanges, newest first.

    busy: commands under way, as `verb:name`. wrongs: what went wrong and was not closed yet, the newest last. news: what went well just
    now. leaving: Quit was chosen. fresh: the keys are not here, and the data folder is still empty. waiting: what the person is to
    decide, the oldest first; unlisted: how much more there was than can be listed.
    """

    boot: Boot
    engine: EngineReport = EngineReport()
    proof: ProofReport | None = None
    snapshot: Snapshot | None = None
    live: bool = False
    streams: int = 0
    recent: tuple[Exchange, ...] = ()
    recent_read: bool = False
    busy: frozenset[str] = field(default_factory=frozenset)
    wrongs: tuple[Notice, ...] = ()
    news: Notice | None = None
    leaving: bool = False
    fresh: bool = False
    waiting: tuple[Waiting, ...] = ()
    unlisted: int = 0

    @property
    def wrong(self) -> Notice | None:
        """The worst of what went wrong, of several the newest."""
        return next((one for one in reversed(self.wrongs) if one.tone == "er"), self.wrongs[-1] if self.wrongs else None)

    @property
    def notice(self) -> Notice | None:
        return self.wrong or self.news

    @property
    def port_note(self) -> str:
        """Why the port is not the one that clients are set to, or ""."""
        return self.boot.port_note or ("" if self.snapshot is None else self.snapshot.port_note)

    @property
    def port(self) -> int:
        return self.boot.port if self.snapshot is None else self.snapshot.port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def works(self) -> bool:
        """Commands make sense: the engine answers on the control channel."""
        return self.live and self.snapshot is not None and self.engine.state not in ("crashed", "stopped") and not self.leaving

    def is_busy(self, verb: str, name: str = "") -> bool:
        return f"{verb}:{name}" in self.busy


@dataclass(frozen=True, slots=True)
class Pill:
    """The state in one icon and one word. shape: which drawing the tray uses."""

    glyph: str
    word: str
    tone: Tone
    shape: Literal["running", "paused", "attention", "error"]
    detail: str


def pill(state: State, now_s: float) -> Pill:
    """The worst thing that is true, in one word."""
    if state.leaving:
        return Pill("hourglass", tr("Stopping"), "ne", "paused", tr("Running requests get up to 5 seconds to finish."))
    if state.engine.state == "stopped":
        return Pill("x-circle-fill", tr("Stopped"), "er", "error", tr("The gateway is not running."))
    if state.engine.state == "crashed":
        return Pill("warning-fill", tr("Restarting"), "wa", "attention", tr("The gateway stopped and is being started again."))
    proof = state.proof
    if proof is None:
        return Pill("hourglass", tr("Starting"), "ne", "paused", tr("Waiting for the gateway to answer."))
    if now_s - proof.heard_s > PROOF_STALE_S:
        return Pill("warning-fill", tr("Not confirmed"), "wa", "attention", tr("No proof that our own listener answers has come lately."))
    if not proof.ok:
        if state.engine.state == "starting":
            return Pill("hourglass", tr("Starting"), "ne", "paused", proof.message)
        return Pill("x-circle-fill", tr("Not answering"), "er", "error", proof.message)
    snapshot = state.snapshot
    if snapshot is not None:
        if snapshot.state == "draining":
            return Pill("hourglass", tr("Stopping"), "ne", "paused", tr("Running requests get up to 5 seconds to finish."))
        if snapshot.state == "starting":
            return Pill("hourglass", tr("Starting"), "ne", "paused", tr("Waiting for the gateway to answer."))
        if snapshot.vault.state not in ("ready", "starting"):
            words = {
                "locked": tr("Keys locked"),
                "absent": tr("No keyring"),
                "empty": tr("Master key missing"),
                "denied": tr("Keys refused"),
            }
            glyph = "lock-key-fill" if snapshot.vault.state == "locked" else "warning-fill"
            return Pill(glyph, words[snapshot.vault.state], "wa", "attention", snapshot.vault.message)
        if snapshot.state == "failing":
            return Pill("x-circle-fill", tr("Cannot record"), "er", "error", snapshot.problem)
    if state.port_note:
        return Pill("warning-fill", tr("Other port"), "wa", "attention", state.port_note)
    return Pill("check-circle-fill", tr("Running"), "ok", "running", tr("Our own listener answered a fresh question."))


@dataclass(frozen=True, slots=True)
class Closed:
    """Why nothing that is stored can be shown. What may open it is in the banner."""

    glyph: str
    fact: str
    sentence: str


def closed(state: State) -> Closed | None:
    """None when the records can be read, or were read before and are still shown."""
    snapshot = state.snapshot
    if snapshot is None:
        if state.engine.state in ("crashed", "stopped"):
            return Closed("x-circle-fill", tr("The gateway is not running"), tr("What is recorded is shown once it answers again."))
        return Closed("hourglass", tr("The gateway is starting"), tr("It answers in a moment."))
    if snapshot.state == "starting" and not snapshot.audit_seq:
        return Closed("hourglass", tr("The gateway is starting"), tr("It opens the ledger and checks the journal."))
    if snapshot.state == "locked" and state.fresh:
        return Closed("key", tr("No place for keys yet"), tr("Gatehouse needs one before it records anything. The line above says how."))
    if snapshot.state == "locked":
        return Closed(
            "lock-key-fill",
            tr("The records are locked"),
            tr("Providers, clients and the ledger are encrypted. They are shown once the keys are here."),
        )
    if snapshot.state == "failing" and not snapshot.audit_seq:
        return Closed("x-circle-fill", tr("The records cannot be read"), snapshot.problem)
    return None


def base_url(state: State, dialect: Dialect) -> str:
    """What goes into a client's base URL field. Anthropic's SDKs add /v1 themselves, OpenAI's do not."""
    root = f"http://{state.address}"
    return f"{root}/v1" if dialect == "openai" else root


def stays(host: str) -> bool:
    """A connection to `host` does not leave this machine. A server on the person's network is marked local too, but lies outside."""
    return host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")


def known(snapshot: Snapshot | None) -> bool:
    """The day's figures and hosts were read from the records. A ledger that was never opened, or cannot be read, has no newest entry."""
    return snapshot is not None and snapshot.audit_seq > 0


def left_hosts(snapshot: Snapshot | None) -> tuple[HostView, ...] | None:
    """The hosts outside this machine that were connected to today, the busiest first; None while that is not known."""
    if snapshot is None or not known(snapshot):
        return None
    return tuple(sorted((host for host in snapshot.hosts if not stays(host.host)), key=lambda host: (-host.bytes_out, host.host)))


def content_words(snapshot: Snapshot | None) -> str:
    """Whether prompts and answers are stored, as it was chosen for each client; "" while that is not known."""
    if snapshot is None or not known(snapshot):
        return ""
    names = [client.name for client in snapshot.clients if client.keeps_content]
    if not names:
        return tr("Prompts and answers are not stored")
    more = tr(" and {n} more", n=len(names) - 2) if len(names) > 2 else ""
    return tr("Responses are kept for {names}, no other prompts or answers", names=", ".join(names[:2]) + more)


def only_here(addresses: Iterable[str]) -> bool:
    """Nothing outside this machine reaches these listeners."""
    return all(stays(address.rpartition(":")[0].strip("[]")) or "/" in address for address in addresses)


def curl_example(state: State) -> str:
    """A request from a terminal that works without any provider: the built-in model says it back."""
    return (
        f"curl {base_url(state, 'openai')}/chat/completions \\\n"
        '    -H "Authorization: Bearer $GATEHOUSE_KEY" -H "Content-Type: application/json" \\\n'
        """    -d '{"model":"gatehouse/echo","messages":[{"role":"user","content":"Hello"}]}'"""
    )
