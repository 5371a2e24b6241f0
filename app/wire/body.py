"""A client's request body: what we must know of it, what we refuse, and how single members are replaced in place.

One decoding pass finds the top-level members as views into the body; everything below them stays unread. Nothing else is
changed or reordered: the provider gets the bytes the client wrote, but for the members we replace.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from app.core.errors import AppError
from app.core.unreadable import UNREADABLE
from app.wire.outline import MAX_MEMBERS, MAX_VALUES, outline

LARGE: Final = 1_048_576  # beyond, a body is looked over before it is decoded, and both happen off the event loop

MAX_MODEL_LENGTH: Final = 256
MAX_DEPTH: Final = 5_000

# Names by which a body could choose where a request goes or with which key. We never read them; a provider that is itself a gateway
# might. Refused at the top level and at any depth of members that configure the call.
HOST_NAMES: Final = frozenset({
    "api_base", "api_key", "api_version", "azure_ad_token", "aws_bedrock_runtime_endpoint", "aws_sts_endpoint",
    "base_url", "custom_llm_provider", "default_headers", "extra_headers", "litellm_params", "model_list", "user_config",
    "vertex_credentials", "vertex_project", "vertex_location",
})  # fmt: skip

# The person's own data: here such a name is a word of a prompt, a field of a tool's schema ("base_url" is a usual argument of a tool
# that fetches something) or a tag, and no gateway reads it as configuration.
OWN_DATA: Final = frozenset({
    "contents", "documents", "functions", "input", "messages", "metadata", "prediction", "prompt", "query", "response_format",
    "suffix", "system", "text", "tools", "output_config",
})  # fmt: skip

_STREAMING: Final = frozenset({"chat/completions", "completions", "messages", "responses"})

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text: Final = msgspec.json.Decoder(str).decode
_flag: Final = msgspec.json.Decoder(bool | None).decode
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw] | None).decode
_anything: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.encode

_OPEN: Final = re.compile(rb"[ \t\r\n]*+\{")
_NAME: Final = re.compile(rb'[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*+:[ \t\r\n]*+')
_COLON: Final = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+")
_NEXT: Final = re.compile(rb"[ \t\r\n]*+([,}])")
_ESCAPED_LETTER: Final = b"\\u00"
_SHORT: Final = 16_384  # beyond, counting costs more than walking over the members


@dataclass(frozen=True, slots=True)
class Understood:
    """What we know of a request. members: top-level members in their order, views into the body (they keep it alive).

    stream: a stream was asked for. usage_asked: the client wants the usage chunk of an OpenAI stream itself.
    """

    model: str
    stream: bool
    usage_asked: bool
    members: Mapping[str, msgspec.Raw]


def understand(body: bytes, endpoint: str, *, model: str = "", stream: bool | None = None) -> Understood:
    """Read what is needed of `body`, a JSON object sent to `endpoint`. model, stream: what the path already says of them.

    AppError: body_not_json; body_too_deep; body_invalid (not an object, `stream` not true or false, a member named twice, too many of
    them); body_names_host; model_missing (absent, empty, not a text, over 256 characters, unprintable characters).
    """
    members = _decode(body)
    _check_names(body, members)
    model = _fit_model(model) if model else _model(members)
    raw_stream = members.get("stream")
    streams = bool(stream)
    if stream is None and raw_stream is not None and endpoint in _STREAMING:
        try:
            streams = bool(_flag(raw_stream))
        except UNREADABLE:
            raise AppError("body_invalid", "`stream` must be true or false.", param="stream") from None
    usage_asked = streams and _asks_usage(members.get("stream_options"))
    return Understood(model, streams, usage_asked, members)


def rewrite(body: bytes, members: Mapping[str, msgspec.Raw], values: Mapping[str, bytes]) -> bytes:
    """`body` with the top-level members in `values` set to those raw JSON values; every other byte stays as it is.

    A member that is absent is added right after the opening brace. Where a member occurs twice, or spells its name with escapes,
    positions are not unique and two readers could see two values: then the object is written anew, each name once, the last value
    winning as in `members`, each value's bytes untouched.
    """
    if not values:
        return body
    if not members:
        return _encode({name: msgspec.Raw(value) for name, value in values.items()})
    spans = _only_places(body, members, values) if len(body) <= _SHORT else None
    if spans is None:
        spans = places(body, members, values)
    if spans is None:
        raws = dict(members)
        raws.update({name: msgspec.Raw(value) for name, value in values.items()})
        return _encode(raws)
    at = body.index(b"{") + 1
    pieces = [body[:at]]
    # A comma always follows, because `members` is not empty.
    pieces += [_encode(name) + b":" + value + b"," for name, value in values.items() if name not in spans]
    for start, end, value in sorted([(*span, values[name]) for name, span in spans.items()]):
        pieces += (body[at:start], value)
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)


def too_deep(body: bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether valid JSON nests deeper than `limit`. Cheap where it is not: counts opening brackets before it looks closer."""
    return len(body) >= 2 * limit and body.count(b"[") + body.count(b"{") > limit and outline(body, len(body)).depth > limit


def _decode(body: bytes) -> dict[str, msgspec.Raw]:
    if len(body) > LARGE:
        _refuse_crowds(body)
    try:
        members = _members(body)
        if not body.isascii():
            # A skipped text is not checked by the decoder. RFC 8259 section 8.1 asks for UTF-8, and a lenient reader at the other
            # end could see another structure than we did.
            body.decode("utf-8")
    except msgspec.ValidationError:
        raise AppError("body_invalid", "The request body must be a JSON object.") from None
    except RecursionError:
        raise _too_deep() from None
    except UNREADABLE:
        raise AppError("body_not_json", "The request body is not valid JSON.", "Send one JSON object, encoded as UTF-8.") from None
    # Up to 3.12.1 the recursion limit (1,000) stops the decoder; later versions count C frames apart: 3.13 lets 9,000 levels through.
    if sys.version_info >= (3, 12) and len(body) <= LARGE and too_deep(body):
        raise _too_deep()
    if len(members) > MAX_MEMBERS:
        raise _too_many()
    return members


def _refuse_crowds(body: bytes) -> None:
    """What would take long to decode, or much memory. A short body cannot hold so much."""
    seen = outline(body)
    if seen.members > MAX_MEMBERS or seen.values > MAX_VALUES:
        raise _too_many()
    if seen.depth > MAX_DEPTH:
        raise _too_deep()


def _too_many() -> AppError:
    return AppError(
        "body_invalid",
        "The request body has too many members.",
        f"Send at most {MAX_MEMBERS:,} at the top and {MAX_VALUES:,} values in all.",
    )


def _too_deep() -> AppError:
    return AppError("body_too_deep", "The request body is nested too deeply.", "Up to 500 levels of arrays and objects are accepted.")


def _model(members: Mapping[str, msgspec.Raw]) -> str:
    raw = members.get("model")
    if raw is None:
        raise AppError("model_missing", "The request names no model.", "Send `model`, for example `account/model`.", param="model")
    try:
        model = _text(raw)
    except UNREADABLE:
        raise AppError("model_missing", "`model` must be a text.", param="model") from None
    return _fit_model(model)


def _fit_model(model: str) -> str:
    if not model.strip():
        raise AppError("model_missing", "`model` is empty.", "Send `model`, for example `account/model`.", param="model")
    if len(model) > MAX_MODEL_LENGTH:
        raise AppError("model_missing", f"`model` is longer than {MAX_MODEL_LENGTH} characters.", param="model")
    if not model.isprintable():
        raise AppError("model_missing", "`model` holds unprintable characters.", param="model")
    return model


def _asks_usage(raw: msgspec.Raw | None) -> bool:
    if raw is None:
        return False
    try:
        options = _object(raw)
        return bool(options) and "include_usage" in options and bytes(options["include_usage"]) == b"true"
    except UNREADABLE:
        return False


def _check_names(body: bytes, members: Mapping[str, msgspec.Raw]) -> None:
    """Each name once, and none by which a request could choose where it goes.

    Of a name that stands twice one reader takes the first value and another the last; Go's and .NET's usual readers match names without
    case, so that "Model" would win over "model" there.
    """
    # Programs send the same names each time; those of a long body are not worth the memory.
    judged = _judged if len(body) <= _SHORT else _judged.__wrapped__
    explained, open_ones = judged(tuple(members))
    for name in open_ones:
        raw = members[name]
        if memoryview(raw)[0] in b"{[" and (found := _host_inside(raw)):
            raise _names_host(found)
    explained += sum(map(len, members.values()))
    # Two quotes, a colon and a comma or brace for each member, and a brace: all that a compact body has. What is left over is blanks,
    # escapes in names, or a member that the decoder dropped in favour of a later one.
    if explained != len(body) and members and not _is_loose(body, members) and (name := _named_again(body, members)):
        raise _twice(name)


@lru_cache(maxsize=256)
def _judged(names: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """How many bytes the names take in a compact body with what stands around them; and those whose values could name a host."""
    seen: set[str] = set()
    open_ones = []
    for name in names:
        lower = name.casefold()  # as Go matches names, to which a long s is an s
        if lower in HOST_NAMES:
            raise _names_host(name)
        if lower in seen or (lower != name and lower == "model"):
            raise _twice("model" if lower == "model" else name)
        seen.add(lower)
        if lower not in OWN_DATA:
            open_ones.append(name)
    return 1 + sum(map(len, names)) + 4 * len(names), tuple(open_ones)


def _is_loose(body: bytes, members: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the body is what Python's json.dumps writes by itself, with a blank after each comma and colon: quickly compared."""
    at = 1
    for name, raw in members.items():
        lead = b'"%b": ' % name.encode()
        if not body.startswith(lead, at):
            return False
        at += len(lead)
        if not body.startswith(bytes(raw), at):
            return False
        at += len(raw) + 2
        if body[at - 2 : at] not in (b", ", b"}"):
            return False
    return at == len(body) + 1


def _named_again(body: bytes, members: Mapping[str, msgspec.Raw]) -> str:
    """The first name that stands twice in `body`, or "". `members` has each once, where it first stood, with its last value."""
    opened = _OPEN.match(body)
    at, last = opened.end() if opened is not None else 0, b","
    for name, raw in members.items():
        found = _NAME.match(body, at)
        if found is None or last != b",":
            return name
        if found[1] != b'"%b"' % name.encode() and (stands := str(_text(found[1]))) != name:
            return stands
        value = bytes(raw)
        after = _NEXT.match(body, found.end() + len(value))
        if after is None or not body.startswith(value, found.end()):
            return name
        last, at = after[1], after.end()
    found = _NAME.match(body, at) if last == b"," else None
    return str(_text(found[1])) if found is not None else ""


def _twice(name: str) -> AppError:
    shown = name[:64]
    return AppError("body_invalid", f"`{shown}` stands twice in the request, or in two spellings.", "Send each member once.", param=shown)


def _host_inside(raw: msgspec.Raw) -> str:
    try:
        queue: list[object] = [_anything(raw)]
    except RecursionError:
        raise _too_deep() from None
    except UNREADABLE:
        raise AppError("body_not_json", "The request body is not valid JSON.") from None
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            for name in value:
                if name.casefold() in HOST_NAMES:
                    return str(name)
            queue.extend(value.values())
        elif isinstance(value, list):
            queue.extend(value)
    return ""


def _names_host(name: str) -> AppError:
    return AppError(
        "body_names_host",
        f"A request may not choose its destination or key: `{name}` is not accepted.",
        "Add the provider as an account and name the model as account/model.",
        param=name,
    )


def _only_places(body: bytes, members: Mapping[str, msgspec.Raw], values: Mapping[str, bytes]) -> dict[str, tuple[int, int]] | None:
    """As `places`, quicker for a short body: a name that stands there once, and that nothing could spell with escapes, is the member.
    None when that does not decide it."""
    if _ESCAPED_LETTER in body:
        return None
    spans: dict[str, tuple[int, int]] = {}
    for name in values:
        raw, quoted = members.get(name), b'"%b"' % name.encode()
        times = body.count(quoted)
        if raw is None and times == 0:
            continue
        if raw is None or times != 1:
            return None
        colon = _COLON.match(body, body.index(quoted) + len(quoted))
        value = bytes(raw)
        if colon is None or not body.startswith(value, colon.end()):
            return None
        spans[name] = (colon.end(), colon.end() + len(value))
    return spans


def places(body: bytes, members: Mapping[str, msgspec.Raw], values: Mapping[str, bytes]) -> dict[str, tuple[int, int]] | None:
    """Where the values of those members stand that are in `values`. None when a member occurs twice, or when one of these spells its
    name with escapes."""
    opened = _OPEN.match(body)
    if opened is None:
        return None
    at = opened.end()
    spans: dict[str, tuple[int, int]] = {}
    last = b","
    for name, raw in members.items():
        found = _NAME.match(body, at)
        if found is None or last != b",":
            return None
        if found[1] != b'"%b"' % name.encode() and (name in values or _text(found[1]) != name):
            return None
        start = found.end()
        value = bytes(raw)
        end = start + len(value)
        after = _NEXT.match(body, end)
        if after is None or not body.startswith(value, start):
            return None
        if name in values:
            spans[name] = (start, end)
        last, at = after[1], after.end()
    return spans if last == b"}" else None
