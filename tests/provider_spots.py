"""What a request to the local upstream is: where it goes, by whose key, and what was recorded for it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from tests import provider_replies as replies
from tests.provider_replies import Answer

RECORDINGS = Path(__file__).parent / "recordings"


@dataclass(slots=True, eq=False)
class Request:
    """One request as it came. Times are time.monotonic(). connection counts from 1 in the order of arrival.

    answered_at: the last byte of the reply was handed to the system. gone_at: the other side left before that.
    """

    number: int
    connection: int
    method: str
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    at: float
    answered_at: float | None = None
    gone_at: float | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    def header(self, name: str) -> str | None:
        """The value of the header of that name, or None. AssertionError if it was sent twice."""
        found = [value.decode("latin-1") for key, value in self.headers if key.decode("latin-1").lower() == name]
        assert len(found) < 2, f"{name} was sent {len(found)} times"
        return found[0] if found else None

    @property
    def header_names(self) -> list[str]:
        return [name.decode("latin-1").lower() for name, _ in self.headers]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a request went. endpoint: under the API's root, as OpenAI or Anthropic name it; for Gemini the method after the colon."""

    dialect: str
    endpoint: str
    model: str = ""
    azure: bool = False


@lru_cache(maxsize=1024)
def spot(path: str, anthropic: bool, google: bool) -> Spot:
    """What lives at `path`. anthropic, google: `anthropic-version` or a Google key was sent, which decides about the list of models."""
    if found := re.fullmatch(r"/v1(?:beta|alpha)?/models/(.+):([A-Za-z]+)", path):
        return Spot("gemini", found[2], unquote(found[1]))
    if path.startswith("/v1beta/") or (google and path.startswith("/v1/models")):
        return Spot("gemini", path.removeprefix("/v1").removeprefix("beta"))
    if found := re.fullmatch(r"/openai/deployments/([^/]+)(/.+)", path):
        return Spot("openai", found[2], unquote(found[1]), azure=True)
    if path.startswith("/openai/"):
        endpoint = path.removeprefix("/openai").removeprefix("/v1")
        return Spot("responses" if endpoint.startswith("/responses") else "openai", endpoint, azure=True)
    endpoint = path.removeprefix("/v1")
    if path.startswith("/v1/messages") or (anthropic and endpoint.startswith("/models")):
        return Spot("anthropic", endpoint)
    return Spot("responses" if endpoint.startswith("/responses") else "openai", endpoint)


GENERATING = frozenset({
    "/chat/completions", "/messages", "/messages/count_tokens", "/responses", "/responses/input_tokens", "generateContent",
    "streamGenerateContent", "countTokens",
})  # fmt: skip


def plain(dialect: str, model: str, stream: bool) -> Answer:
    """The built-in text, whatever was asked."""
    from tests import scripted_replies, strict

    return scripted_replies.answer(dialect, scripted_replies.script(replies.options(model), strict.Seen()), stream=stream)


def key_of(request: Request, here: Spot) -> str:
    given, other = "", b"x-goog-api-key" if here.dialect == "gemini" else b"api-key" if here.azure else b""
    for name, value in request.headers:
        lower = name.lower()
        if lower == b"authorization" and here.dialect != "gemini":
            given = given or value.decode("latin-1").removeprefix("Bearer ")
        elif lower == other or (lower == b"x-api-key" and here.dialect == "anthropic"):
            given = value.decode("latin-1")
    return given


def stranger(dialect: str, key: str) -> Answer:
    """What a wrong or missing key gets."""
    if dialect == "anthropic":
        return replies.error(dialect, 401, "invalid x-api-key")
    if dialect == "gemini" and not key:
        return replies.error(dialect, 403, "Method doesn't allow unregistered callers (callers without established identity).")
    if dialect == "gemini":
        return replies.error(dialect, 400, "API key not valid. Please pass a valid API key.")
    return replies.error(dialect, 401, f"Incorrect API key provided: {_masked(key)}.")


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * max(0, len(key) - 12)}{key[-4:]}" if len(key) > 12 else "***"


@lru_cache(maxsize=256)
def recording(dialect: str, case: str) -> Answer:
    """What was recorded as `tests/recordings/DIALECT/CASE/`: `stream.txt`, event by event, or `reply.json`; status from `expected.json`."""
    folder = RECORDINGS / dialect / case
    if folder.parent != RECORDINGS / dialect or not (folder / "expected.json").is_file():
        return replies.error(dialect, 404, f"There is no recording {dialect}/{case}.")
    status = int(json.loads((folder / "expected.json").read_bytes()).get("status", 200))
    kinds = {"anthropic": replies.ANTHROPIC_HEADERS, "gemini": replies.GEMINI_HEADERS}
    headers = kinds.get(dialect, replies.OPENAI_HEADERS)
    stream = folder / "stream.txt"
    if stream.is_file():
        events = re.findall(rb"(?s).+?(?:\r?\n\r?\n|\Z)", stream.read_bytes())
        return Answer(status, replies.SSE_TYPE, headers, tuple(events), stream=True)
    return Answer(status, replies.JSON_TYPE, headers, ((folder / "reply.json").read_bytes(),))
