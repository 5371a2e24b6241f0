"""A provider as a row, and the requests that are built from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from app.core.errors import AppError
from app.core.names import climbs
from app.core.records import Account, Destination
from app.core.secret import Secret
from app.wire.dialect import Dialect, Name

# azure: an Entra token as bearer, any other key in `api-key`.
Auth = Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "azure", "none"]
Pairs = tuple[tuple[str, str], ...]

# no_stream_options: refuses `stream_options` (and reports usage in streams without being asked).
# public_models: lists its models to anyone, so the list proves no key.
# max_completion_tokens: refuses `max_tokens` for its newer models. openai_own: knows what OpenAI itself has and other servers of its
# dialect often refuse: developers' messages, tools that take free text, store, metadata, verbosity. wants_reasoning: a model's thoughts
# go back to it as `reasoning_content`. deployments: the model is in the path, and the API's version in the query.
Quirk = Literal[
    "no_stream_options", "public_models", "max_completion_tokens", "openai_own", "wants_reasoning", "deployments"
]  # fmt: skip

# The same for every person, machine and release.
USER_AGENT: Final = "Gatehouse"

ANTHROPIC_VERSION: Final = "2023-06-01"

# Headers that belong to the connection with the client, or that we set ourselves: leaving them out removes nothing.
_OURS: Final = frozenset({
    "accept-encoding", "api-key", "authorization", "connection", "content-length", "content-type", "expect", "host", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "x-api-key", "x-goog-api-key",
    "x-litellm-api-key",
})  # fmt: skip

# The latest version of Azure's API for deployments that is no preview (learn.microsoft.com, "API version lifecycle").
AZURE_VERSION: Final = "2024-10-21"

# A part of a host name (RFC 1035 section 2.3.4). For a longer one Python's TLS raises a UnicodeError in the middle of a handshake.
_LABEL: Final = 63
# A base URL is often pasted with the endpoint that the documentation's example calls.
_ENDPOINTS: Final = (
    "/chat/completions", "/completions", "/embeddings", "/messages/count_tokens", "/messages", "/models", "/responses",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Speech:
    """One dialect of a provider: `base_url` + "/" + endpoint is the address, `auth` how the key is sent. only: the endpoints that it
    is used for, because its other dialect says more; empty: all."""

    dialect: Name
    base_url: str
    auth: Auth = "bearer"
    only: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One kind of account.

    speaks: the dialects, the preferred one first; all at the same host. base_url is "" where the person must give one.
    passes, returns: headers beyond the dialect's own that this provider needs or that its clients expect, with the reason.
    models_path: the list of models under the base URL (under the host when it begins with a slash), "" if there is none. key_path:
    what proves a key where that list is public or absent. prices: the provider's id in the price file, "" where it has none.
    path: what a base URL without one gets.
    region: where requests are processed, "" when the provider does not say. read: when the row was compared with the documentation.
    """

    id: str
    label: str
    speaks: tuple[Speech, ...]
    needs_key: bool = True
    local: bool = False
    docs_url: str = ""
    key_url: str = ""
    key_example: str = ""
    passes: Mapping[str, str] = field(default_factory=dict)
    returns: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1"
    models_path: str = "models"
    key_path: str = ""
    region: str = ""
    quirks: frozenset[Quirk] = frozenset()
    prices: str = ""
    read: str = ""

    @property
    def base_url(self) -> str:
        return self.speaks[0].base_url

    @property
    def dialect(self) -> Name:
        return self.speaks[0].dialect

    def described(self) -> dict[str, object]:
        """The row as the form for a new account shows it: the fields of the control API's `Kind`."""
        return {
            "id": self.id,
            "label": self.label,
            "base_url": self.base_url,
            "dialect": self.dialect,
            "needs_key": self.needs_key,
            "local": self.local,
            "key_url": self.key_url,
            "key_example": self.key_example,
        }

    @property
    def asks_usage(self) -> bool:
        """Whether a stream's usage must be asked for with `stream_options`."""
        return "no_stream_options" not in self.quirks


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it leaves, without its body. target: path for the request line. removed: how many of the client's headers stay
    here that say something about it or its machine."""

    target: str
    headers: Pairs
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """A GET that is answered with 2xx where all is well. lists: its reply is the list of models, for `Dialect.read_models` of
    `dialect`. proves: a wrong key would be refused. then: what to ask next, once this one succeeded."""

    dialect: Name
    target: str
    headers: Pairs
    lists: bool
    proves: bool = True
    then: Check | None = None


def base_url(row: Provider, given: str) -> str:
    """The base URL for an account of this kind: the row's own, or the one the person gave, made regular.

    An endpoint at the end and trailing slashes are cut off. A URL with nothing behind the host gets the row's path when it is the
    row's host, else the row's usual path, mostly `/v1`. For the Anthropic dialect `/v1` is added to any path,
    because its clients are configured without it. Otherwise the path is taken as it is: not every provider has a `/v1`.
    AppError url_invalid.
    """
    url = given.strip()
    if not url:
        if row.base_url:
            return row.base_url
        raise AppError("url_invalid", f"{row.label} needs a base URL.", "Give the address of its API, for example https://host/v1.")
    hint = "Give the address of the API, for example https://host/v1."
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise AppError("url_invalid", "The address cannot be read.", hint) from None
    try:
        Destination.of(url, local=row.local)
    except ValueError as error:
        raise AppError("url_invalid", str(error), hint) from None
    if not url.isascii() or any(character in url for character in '\\"<>^`{|}'):
        raise AppError("url_invalid", "The address has characters that cannot be sent.", "Write it as the provider's page shows it.")
    if any(len(label) > _LABEL for label in (urlsplit(url).hostname or "").split(".")):
        raise AppError("url_invalid", "A part of the host name is too long for a name.", hint)
    url = url.rstrip("/")
    for endpoint in _ENDPOINTS:
        if urlsplit(url).path.endswith(endpoint):
            url = url.removesuffix(endpoint).rstrip("/")
            break
    parts = urlsplit(url)
    if climbs(parts.path):
        raise AppError("url_invalid", "The address must not contain . or .. as a part of its path.")
    if not parts.path:
        same = row.base_url and _origin(url) == _origin(row.base_url)
        return row.base_url if same else url + row.path
    if row.dialect == "anthropic" and not url.endswith("/v1"):
        return url + "/v1"
    return url


def speech(row: Provider, account: Account, dialect: Name, endpoint: str = "") -> Speech | None:
    """How `account` speaks `dialect` at `endpoint`, or None. A second dialect is known only for the row's own address, or when both
    share a path. One that is for some endpoints only is not found without one of these."""
    for said in row.speaks:
        if said.dialect != dialect or (said.only and endpoint not in said.only):
            continue
        if said is row.speaks[0] or said.base_url == row.base_url:
            return Speech(dialect, account.base_url, said.auth, said.only)
        return said if account.base_url == row.base_url else None
    return None


def request(
    row: Provider,
    account: Account,
    dialect: Dialect,
    endpoint: str,
    headers: Iterable[tuple[str, str]],
    secret: Secret | None,
    *,
    model: str = "",
) -> Outgoing:
    """The request line and headers of one exchange. Nothing of the client's headers passes but what the allowlists name.

    endpoint: what a passage says (`endpoint`), with its query. model: at the provider, for those that have it in the path. AppError
    dialect_mismatch, provider_key_missing (absent, or not fit for a header), model_unknown (a path that would lead elsewhere).
    """
    said = speech(row, account, dialect.name, endpoint.partition("?")[0])
    if said is None:
        raise AppError(
            "dialect_mismatch",
            f"The account {account.name} does not speak the {dialect.name} dialect.",
            "Use an account whose provider does.",
        )
    if "deployments" in row.quirks:
        endpoint = _deployed(account, endpoint, model)
    out = [*_auth(said.auth, row, account, secret), *_OWN]
    removed = 0
    for name, value in headers:
        lower = name.lower()
        if lower in _OURS:
            continue
        if (lower in dialect.request_headers or lower in row.passes) and _sendable(value):
            out.append((lower, value))
        else:
            removed += 1
    target = _path(said.base_url, endpoint)
    if climbs(target.partition("?")[0]):
        hint = "Name the model as the provider lists it: GET /v1/models."
        raise AppError(
            "model_unknown", "A part of the model's name, or of the address, is . or .., which leads elsewhere.", hint, param="model"
        )
    return Outgoing(target, tuple(out), removed)


def check(row: Provider, account: Account, secret: Secret | None) -> Check:
    """The request behind "Test": the list of models, after a request that proves the key where the list does not. AppError
    provider_key_missing."""
    headers = (*_auth(row.speaks[0].auth, row, account, secret), ("user-agent", USER_AGENT), ("accept", "application/json"))
    if row.dialect == "anthropic":
        headers = (*headers, ("anthropic-version", ANTHROPIC_VERSION))
    listing: Check | None = None
    version = f"?api-version={AZURE_VERSION}" if "deployments" in row.quirks and not account.base_url.endswith("/openai/v1") else ""
    if row.models_path:
        proves = not row.key_path and "public_models" not in row.quirks
        listing = Check(row.dialect, _path(account.base_url, row.models_path + version), headers, lists=True, proves=proves)
    if listing is not None and not row.key_path:
        return listing
    return Check(row.dialect, _path(account.base_url, row.key_path + version), headers, lists=False, then=listing)


def _deployed(account: Account, endpoint: str, model: str) -> str:
    """Where a deployment answers. Under `/openai/v1` Azure takes the model from the body, as OpenAI does."""
    if account.base_url.endswith("/openai/v1"):
        return endpoint
    place = f"deployments/{quote(model, safe='')}/{endpoint}" if model else endpoint
    return f"{place}{'&' if '?' in place else '?'}api-version={AZURE_VERSION}"


def reply_headers(row: Provider, dialect: Dialect, pairs: Iterable[tuple[str, str]]) -> Pairs:
    """The provider's headers that go back to the client, in lower case. content-type and framing are the caller's."""
    allowed = dialect.response_headers
    kept: list[tuple[str, str]] = []
    for name, value in pairs:
        lower = name.lower()
        if (lower in allowed or lower in row.returns or _begins(lower, allowed)) and _sendable(value):
            kept.append((lower, value))
    return tuple(kept)


_OWN: Final = (("content-type", "application/json"), ("user-agent", USER_AGENT))


def _auth(auth: Auth, row: Provider, account: Account, secret: Secret | None) -> list[tuple[str, str]]:
    if secret is None or not secret:
        if row.needs_key:
            raise AppError("provider_key_missing", f"The account {account.name} has no key.", "Store its key on the Providers page.")
        return []
    key = secret.reveal()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AppError(
            "provider_key_missing", f"The key of {account.name} has characters that no key has.", "Store it again, without blanks."
        )
    if auth == "none":
        return []
    if auth == "azure":
        auth = "bearer" if key.startswith("eyJ") else "api-key"
    return [("authorization", "Bearer " + key)] if auth == "bearer" else [(auth, key)]


def _begins(name: str, allowed: frozenset[str]) -> bool:
    return any(entry.endswith("-") and name.startswith(entry) for entry in allowed)


def _sendable(value: str) -> bool:
    return value.isprintable() or all(character == "\t" or character.isprintable() for character in value)


def _path(url: str, endpoint: str) -> str:
    if endpoint.startswith("/"):
        return endpoint
    return f"{urlsplit(url).path.rstrip('/')}/{endpoint}"


def _origin(url: str) -> tuple[str, str, int]:
    place = Destination.of(url, local=False)
    return place.scheme, place.host, place.port
