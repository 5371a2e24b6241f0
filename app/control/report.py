"""A network report as files that can be given away: the signed text, the same for reading, and the program that checks it."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from app.control.contract import NetworkReport
from app.core.exports import VERIFIER_FILE

LEVELS: Final = {
    "kernel": "Enforced by the kernel",
    "desktop": "Enforced by the kernel, desktop in reach",
    "guarded": "Guarded and observed",
}

_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c1b19}"
    "table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}"
    "td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd}"
    "code{font-family:ui-monospace,monospace}.red{color:#b3261e;font-weight:600}"
)


def pieces(report: NetworkReport) -> tuple[bytes, ...]:
    """What is in each file that is sent, in the order of `core.exports`; the program that checks it comes from whoever writes them."""
    signature = json.dumps({"key": report.key, "signature": report.signature}, indent=1) + "\n"
    return report.report.encode(), signature.encode(), page(report).encode()


def page(report: NetworkReport) -> str:
    """The report as one page: no script, nothing fetched, every text escaped."""
    told: dict[str, Any] = json.loads(report.report)
    view = told["view"]
    books = view["books"]
    red = [*books["mismatches"], *view["unexplained"]]
    parts = [
        f"<h1>Gatehouse network report</h1><p>Made {_when(told['made_us'])}, about the time since {_when(view['since_us'])}.</p>",
        f"<p><b>{_text(LEVELS.get(view['level'], view['level']))}</b> {_text(view['level_reason'])}</p>",
        (
            f"<p>{view['connections']} connections to {view['hosts']} hosts on the internet and {view['local_hosts']} in the person's own "
            f"network; {view['refused_count']} attempts refused.</p>"
        ),
        "".join(f'<p class="red">{_text(sentence)}</p>' for sentence in red),
        _table(
            "Destinations",
            ("Address", "Why", "Connections", "Bytes out", "Bytes in", "TLS", "Issuer"),
            (
                (f"{d['host']}:{d['port']}", d["purpose"], d["connections"], d["bytes_out"], d["bytes_in"], d["tls"], d["issuer"])
                for d in view["destinations"]
            ),
        ),
        _table(
            "Refused",
            ("When", "Process", "What", "Target", "Why", "Who asked"),
            ((_when(r["at_us"]), r["process"], r["what"], r["target"], r["sentence"], " < ".join(r["stack"][:4])) for r in view["refused"]),
        ),
        _table("Names asked", ("Name", "Times"), ((n["name"], n["times"]) for n in view["names"])),
        _table(
            "Layers", ("Layer", "What it does", "State", "Why"), ((x["name"], x["does"], x["state"], x["reason"]) for x in view["layers"])
        ),
        _table(
            "Books",
            ("Exchanges' connections", "Records", "Keeper", "Seen by the system"),
            ((books["ledger"], books["records"], books["keeper"], books["seen"]),),
        ),
        _table(
            "Connections",
            ("Number", "Opened", "Closed", "Account", "Address", "Bytes out", "Bytes in"),
            (
                (r["connection"], _when(r["opened_us"]), _when(r["closed_us"]), r["account"], r["address"], r["bytes_out"], r["bytes_in"])
                for r in told["records"]
            ),
        ),
        (
            f"<h2>What this report can and cannot show</h2><p>{_text(told['says'])}</p><p>Check it: <code>python -I {VERIFIER_FILE} --key "
            f"KEY</code>, where KEY is the public key that its owner reads off an exported audit log of that time. It should be "
            f"<code>{report.key}</code>, but do not take it from here: whoever made this page could name any. This page itself is not "
            "signed; report.json is.</p>"
        ),
    ]
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Gatehouse network report</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{_STYLE}</style></head><body>"
    )
    return head + "\n".join(parts) + "</body></html>\n"


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    if not lines:
        return f"<h2>{_text(title)}</h2><p>None.</p>"
    return (
        f"<h2>{_text(title)}</h2><table><tr>" + "".join(f"<th>{_text(cell)}</th>" for cell in head) + "</tr>" + "".join(lines) + "</table>"
    )


def _text(value: object) -> str:
    return html.escape(str("" if value is None else value), quote=True)


def _when(at_us: int | None) -> str:
    return "" if not at_us else datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
