"""A model's name never leads out of the path that its provider's row says, whatever the row, the dialect and the endpoint."""

from __future__ import annotations

import json
import posixpath
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.core.errors import AppError
from app.core.names import climbs
from app.core.records import Account
from app.core.secret import Secret
from app.egress.http1 import request_head
from app.engine.entry import Entry
from app.providers.catalogue import KINDS
from app.providers.provider import Provider, base_url
from app.wire.body import understand
from app.wire.bridge import passage
from app.wire.dialects import place

KEY = Secret("sk-test-0123456789")
ROWS = pytest.mark.parametrize("row", KINDS.values(), ids=list(KINDS))

# How a client names a model: in the body, or in the path of Gemini's and Azure's own forms, encoded there as it likes.
ASKED = {
    "chat": ("/v1/chat/completions", True),
    "completions": ("/v1/completions", True),
    "embeddings": ("/v1/embeddings", True),
    "responses": ("/v1/responses", True),
    "messages": ("/v1/messages", True),
    "gemini": ("/v1beta/models/{}:generateContent", False),
    "gemini, streamed": ("/v1beta/models/{}:streamGenerateContent", False),
    "gemini, tuned": ("/v1beta/tunedModels/{}:generateContent", False),
    "gemini, count": ("/v1alpha/models/{}:countTokens", False),
    "azure": ("/openai/deployments/{}/chat/completions", False),
}
BODIES = {
    "chat/completions": {"messages": [{"role": "user", "content": "q"}]},
    "completions": {"prompt": "q"},
    "embeddings": {"input": "q"},
    "responses": {"input": "q"},
    "messages": {"max_tokens": 5, "messages": [{"role": "user", "content": "q"}]},
}

GEMINI = {"contents": [{"role": "user", "parts": [{"text": "q"}]}]}

_DOTS = ["..", ".", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%25252e%25252e", "..;a", ". .", ".. ", "%09..", "..%00", "%2e"]
_SEPARATORS = ["/", "\\", "%2f", "%2F", "%5c", "%252f", "//", "/;/"]
_WORDS = ["gpt-4.1", "gemini-2.5-pro", "a..b", "...", ".hidden", "v1.", "models", "tunedModels", "org", "x y", "ü", "50%"]
NAMES = st.lists(st.tuples(st.sampled_from(_DOTS + _WORDS), st.sampled_from(_SEPARATORS)), min_size=1, max_size=5).map(
    lambda pieces: "".join(word + mark for word, mark in pieces)[:-1]
)


def sent(row: Provider, way: str, name: str) -> str | None:
    """The path on the wire when a client asks for this model at an account of this row; None when it is refused."""
    path, in_body = ASKED[way]
    where = place(path if in_body else path.format(name.replace("?", "%3f").replace("#", "%23")), anthropic=False)
    if where is None:
        return None
    asked = {"model": name} if in_body else {}
    body = json.dumps({**BODIES.get(where.endpoint, GEMINI), **asked}).encode()
    account = Account(
        name="acc", kind=row.id, base_url=base_url(row, row.base_url or "https://models.example/v1"), local=row.local, keyed=True
    )
    entry = Entry(account, row, None, frozenset())
    try:
        call = understand(body, where.endpoint, model=where.model, stream=where.stream)
        provider = entry.dialect_for(where.dialect, where.endpoint)
        way_out = passage(where.dialect, provider, where.endpoint, body, call, call.model, quirks=entry.quirks)
        target = entry.outgoing(way_out.endpoint, KEY, (), provider, call.model).target
    except AppError:
        return None
    head = request_head("POST", target, "models.example", (), 0)
    return head.split(b" ")[1].decode()


def resolved(path: str) -> str:
    """Where a server that decodes the path, once more and once again, ends up."""
    for _ in range(6):
        path = unquote(path, "latin-1").replace("\\", "/")
    return posixpath.normpath("/".join(segment.partition(";")[0].strip("\0\t ") for segment in path.split("/")))


@ROWS
@given(way=st.sampled_from(sorted(ASKED)), name=NAMES)
@example(way="gemini", name="gem/../../../admin/keys/create")
@example(way="gemini", name="gem%2f..%2f..%2f..%2fv3%2fprojects%2fsecret")
@example(way="gemini", name="tunedModels/../../x")
@example(way="chat", name="gem/../../../admin/keys/create")
@example(way="chat", name="tunedModels/../../x")
@example(way="azure", name="..")
@example(way="chat", name="..")
@example(way="messages", name="%2e%2e/%2e%2e/x")
@settings(max_examples=40)
def test_no_name_of_a_model_leaves_the_rows_own_path(row: Provider, way: str, name: str) -> None:
    path = sent(row, way, name)
    if path is None:
        return
    own = urlsplit(base_url(row, row.base_url or "https://models.example/v1")).path
    roots = {own, *(urlsplit(said.base_url).path for said in row.speaks if said.base_url)}
    bare = path.partition("?")[0]
    assert not climbs(bare)
    assert any(resolved(bare).startswith(root.rstrip("/") + "/") for root in roots), (path, roots)


@ROWS
@pytest.mark.parametrize("way", ["chat", "gemini", "azure", "messages", "responses"])
def test_usual_names_pass(row: Provider, way: str) -> None:
    for name in ("gpt-4.1", "gemini-2.5-pro", "meta.llama3-1-8b-instruct-v1", "a..b"):
        answered = sent(row, way, name)
        assert answered is None or not climbs(answered)
    if way == "chat":
        assert sent(row, "chat", "gpt-4.1") is not None


@pytest.mark.parametrize("target", ["/v1/../x", "/v1/%2e%2e/x", "/v1/.", "/v1/a/..", "/v1/..\\x", "/v1/%252e%252e/x"])
def test_the_wire_itself_takes_no_path_that_leads_elsewhere(target: str) -> None:
    with pytest.raises(ValueError, match="dot"):
        request_head("POST", target, "models.example", (), 0)


@pytest.mark.parametrize("url", ["https://h.example/v1/../x", "https://h.example/%2e%2e/x", "https://h.example/v1/%252e%252e"])
def test_an_address_that_leads_elsewhere_is_no_base_url(url: str) -> None:
    with pytest.raises(AppError, match=r"\. or \.\."):
        base_url(KINDS["openai-compatible"], url)
