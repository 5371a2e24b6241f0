"""An exchange in words and cells: the same for the last requests on Home, the live tail and the inspector. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.core.records import Exchange
from app.core.stuck import ENGINE_STUCK
from app.gui import format as fmt
from app.gui.cells import Cell
from app.gui.words import tr

_ORDINALS: Final = ("", "1st", "2nd", "3rd")


@dataclass(frozen=True, slots=True)
class Verdict:
    """glyph, the short word of a cell, the sentence of the inspector, tone (ok, wa, er or an ink)."""

    glyph: str
    word: str
    sentence: str
    tone: str


def verdict(row: Exchange) -> Verdict:
    status = str(row.status) if row.status else fmt.ABSENT
    match row.outcome:
        case "completed":
            if row.attempts > 1:
                nth = ordinal(row.attempts)
                return Verdict(
                    "arrow-bend-down-right", tr("{status}, {nth} try", status=status, nth=nth), tr("Answered on {nth} try", nth=nth), "wa"
                )
            return Verdict("check-circle-fill", status, tr("Answered"), "ok")
        case "failed":
            reason = _REASONS.get(row.error) or _BY_STATUS.get(row.status, "")
            word = f"{status}, {tr(reason)}" if reason else status
            return Verdict("x-circle-fill", word, _FAILED.get(row.error) or tr("Failed"), "er")
        case "refused":
            reason = _REASONS.get(row.error, "")
            word = f"{status}, {tr(reason)}" if reason else status
            return Verdict("prohibit", word, tr("Refused by Gatehouse"), "er")
        case "cancelled":
            return Verdict("minus-circle-fill", tr("Cancelled"), tr("Cancelled by the client"), "tx2")
        case "interrupted":
            # One that was cut says why; one that was found at the next start knows only that it never ended.
            if row.error == ENGINE_STUCK:
                return Verdict("warning-fill", tr("Interrupted"), tr("Interrupted: Gatehouse stood still over this request"), "wa")
            how = tr("Interrupted: Gatehouse was stopped") if row.error else tr("Interrupted: Gatehouse ended before this was finished")
            return Verdict("warning-fill", tr("Interrupted"), how, "wa")


def ordinal(number: int) -> str:
    return _ORDINALS[number] if number < len(_ORDINALS) else f"{number}th"


def time_cell(row: Exchange, now_us: int) -> Cell:
    return Cell(fmt.table_time(row.opened_us, now_us))


def client_cell(row: Exchange) -> Cell:
    return Cell(row.client) if row.client else Cell(fmt.ABSENT, "tx3", tip=tr("No known key came with this request."))


def asked_cell(row: Exchange) -> Cell:
    """What was asked for, muted, before what was served, where the two differ."""
    if row.endpoint == "models" and not row.asked:
        return Cell(tr("the list of models"), "tx3")
    if not row.model:
        return Cell(row.asked or fmt.ABSENT, "tx" if row.asked else "tx3")
    if row.asked == row.model or not row.asked:
        return Cell(row.model)
    if row.asked == f"{row.account}/{row.model}":
        return Cell(row.model, lead=f"{row.account}/", spoken=row.asked)
    return Cell(row.model, lead=f"{row.asked} → ")


def provider_cell(row: Exchange) -> Cell:
    return Cell(row.account) if row.account else Cell(fmt.ABSENT, "tx3")


def status_cell(row: Exchange) -> Cell:
    seen = verdict(row)
    return Cell(seen.word, glyph=seen.glyph, tone=seen.tone, tip=row.message, spoken=f"{seen.word}. {seen.sentence}")


def code_cell(row: Exchange) -> Cell:
    """The status alone, where the request can be opened beside the table."""
    seen = verdict(row)
    return Cell(
        str(row.status) if row.status else fmt.ABSENT,
        glyph=seen.glyph,
        tone=seen.tone,
        tip=row.message or seen.sentence,
        spoken=seen.sentence,
    )


def tokens_cell(row: Exchange) -> Cell:
    text = fmt.tokens(row)
    return Cell(text, "tx3" if text == fmt.ABSENT else "tx")


def cost_cell(row: Exchange) -> Cell:
    return Cell(fmt.cost(row), "tx" if row.cost_microusd is not None and row.price != "local" else "tx3")


def took_cell(row: Exchange) -> Cell:
    return Cell(fmt.took(row.duration_us), "tx" if row.duration_us is not None else "tx3")


def took_seconds_cell(row: Exchange) -> Cell:
    return Cell(fmt.seconds(row.duration_us), "tx" if row.duration_us is not None else "tx3")


def first_byte_cell(row: Exchange) -> Cell:
    return Cell(fmt.seconds(row.first_byte_us), "tx" if row.first_byte_us is not None else "tx3")


# A word or two beside the status, for the codes a person meets most.
_REASONS: Final = {
    "key_missing": "no key",
    "key_malformed": "bad key",
    "key_unknown": "bad key",
    "key_blocked": "blocked",
    "model_unknown": "no model",
    "model_ambiguous": "ambiguous",
    "model_missing": "no model",
    "provider_timeout": "timeout",
    "provider_unreachable": "no answer",
    "provider_tls": "TLS",
    "provider_redirect": "redirect",
    "provider_not_json": "not JSON",
    "provider_broken": "broke off",
    "provider_key_missing": "no key",
    "destination_refused": "barred",
    "destination_held": "held",
    "vault_locked": "locked",
    "body_not_json": "not JSON",
    "body_too_large": "too large",
    "draining": "stopping",
}
# What a provider's own status means, where its error has no code of ours.
_BY_STATUS: Final = {401: "refused", 402: "no credit", 403: "forbidden", 404: "not found", 429: "limited", 529: "overloaded"}
_FAILED: Final = {
    "provider_timeout": "The provider did not answer in time",
    "provider_unreachable": "The provider could not be reached",
    "provider_tls": "The provider's certificate was not accepted",
    "provider_redirect": "The provider sent us elsewhere",
    "provider_not_json": "The provider did not answer in JSON",
    "provider_broken": "The reply broke off",
    "provider_key_missing": "The provider's key is missing",
    "destination_refused": "The destination is not allowed",
    "destination_held": "The destination waits for your confirmation",
    "vault_locked": "The keys were locked",
}
