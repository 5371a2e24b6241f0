"""A request as a command for a terminal: its address, path and headers, never its key and never what was asked. Pure.

A row has nothing of the prompt, so the body is the least that the endpoint takes, and says so.
"""

from __future__ import annotations

import json
import shlex
from typing import Any, Final
from urllib.parse import quote

from app.core.records import Exchange

PLACEHOLDER: Final = "$GATEHOUSE_KEY"
PROMPT: Final = "(the prompt is not in the ledger)"
_ANTHROPIC_VERSION: Final = "2023-06-01"
_KEY_HEADERS: Final = {"anthropic": "x-api-key: ", "gemini": "x-goog-api-key: "}
_GEMINI: Final = frozenset({"generateContent", "streamGenerateContent", "countTokens"})
_LISTS: Final = frozenset({"models", "responses/item", "responses/input_items"})


def command(row: Exchange, address: str) -> str:
    """`address`: of our listener, as 127.0.0.1:4141. The shell puts the key in the place of the variable."""
    path, body = _path(row), _body(row)
    lines = [f"curl {'-N ' if row.stream else ''}{shlex.quote(f'http://{address}{path}')}"]
    lines.append(f'-H "{_KEY_HEADERS.get(row.dialect, "Authorization: Bearer ")}{PLACEHOLDER}"')
    if row.dialect == "anthropic":
        lines.append(f"-H 'anthropic-version: {_ANTHROPIC_VERSION}'")
    if body is not None:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(body, ensure_ascii=False, separators=(',', ':')))}")
    return " \\\n    ".join(lines)


def _path(row: Exchange) -> str:
    if row.endpoint in _GEMINI:
        events = "?alt=sse" if row.endpoint == "streamGenerateContent" else ""
        return f"/v1beta/models/{quote(row.asked, safe='')}:{row.endpoint}{events}"
    if row.dialect == "gemini":
        return "/v1beta/models"
    if row.endpoint in ("responses/item", "responses/input_items", "responses/cancel"):
        below = row.endpoint.removeprefix("responses/")
        return "/v1/responses/RESPONSE_ID" + ("" if below == "item" else f"/{below}")
    return f"/v1/{row.endpoint or 'models'}"


def _body(row: Exchange) -> dict[str, Any] | None:
    """None: the endpoint takes none."""
    if row.endpoint in _LISTS or not row.endpoint:
        return None
    said = [{"role": "user", "content": PROMPT}]
    stream: dict[str, Any] = {"stream": True} if row.stream else {}
    match row.endpoint:
        case "messages":
            return {"model": row.asked, "max_tokens": 1024, "messages": said, **stream}
        case "messages/count_tokens":
            return {"model": row.asked, "messages": said}
        case "responses":
            return {"model": row.asked, "input": PROMPT, **stream}
        case "responses/input_tokens" | "embeddings":
            return {"model": row.asked, "input": PROMPT}
        case "completions":
            return {"model": row.asked, "prompt": PROMPT, **stream}
        case "generateContent" | "streamGenerateContent" | "countTokens":
            return {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}
        case "responses/cancel" | "event_logging":
            return {}
        case _:
            return {"model": row.asked, "messages": said, **stream}
