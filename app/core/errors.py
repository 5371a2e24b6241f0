"""Every error a person, a client program or a caller of the control API can meet.

One class: `AppError`, with a stable `code`, the HTTP `status` that goes with it, a `hint` that says what to do next, and `fault`:
who can mend it. It is rendered three ways (a client's dialect, the control API, words for a person) and never holds a secret.
The table `CODES` is the whole list; `gateway.md` section "Errors" is its source for what client programs see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Fault = Literal["caller", "provider", "machine", "ours"]


@dataclass(frozen=True, slots=True)
class Code:
    """What is fixed for one code: HTTP status, whose fault it is, and the `type` an OpenAI client sees."""

    status: int
    fault: Fault
    openai_type: str


CODES: Final[dict[str, Code]] = {
    # who is asking
    "key_missing": Code(401, "caller", "auth_error"),
    "key_malformed": Code(401, "caller", "auth_error"),
    "key_unknown": Code(401, "caller", "auth_error"),
    "key_blocked": Code(401, "caller", "auth_error"),
    "key_in_url": Code(401, "caller", "auth_error"),
    # where from (local web safety)
    "host_not_allowed": Code(421, "caller", "permission_error"),
    "origin_not_allowed": Code(403, "caller", "permission_error"),
    "cross_site": Code(403, "caller", "permission_error"),
    "peer_not_allowed": Code(403, "caller", "permission_error"),
    # what was asked
    "not_found": Code(404, "caller", "invalid_request_error"),
    "method_not_allowed": Code(405, "caller", "invalid_request_error"),
    "content_type": Code(415, "caller", "invalid_request_error"),
    "body_too_large": Code(413, "caller", "invalid_request_error"),
    "headers_too_large": Code(431, "caller", "invalid_request_error"),
    "body_too_slow": Code(408, "caller", "invalid_request_error"),
    "body_not_json": Code(400, "caller", "invalid_request_error"),
    "body_too_deep": Code(400, "caller", "invalid_request_error"),
    "body_invalid": Code(400, "caller", "invalid_request_error"),
    "body_names_host": Code(400, "caller", "invalid_request_error"),
    "content_not_kept": Code(400, "caller", "invalid_request_error"),
    "response_unknown": Code(404, "caller", "invalid_request_error"),
    "model_missing": Code(400, "caller", "invalid_request_error"),
    "model_unknown": Code(400, "caller", "invalid_request_error"),
    "model_ambiguous": Code(400, "caller", "invalid_request_error"),
    "dialect_mismatch": Code(400, "caller", "invalid_request_error"),
    "not_expressible": Code(400, "caller", "invalid_request_error"),
    "too_many_connections": Code(503, "machine", "internal_server_error"),
    "memory_full": Code(503, "machine", "internal_server_error"),
    # the way out
    "provider_timeout": Code(408, "provider", "timeout_error"),
    "provider_unreachable": Code(502, "provider", "api_connection_error"),
    "provider_tls": Code(502, "provider", "api_connection_error"),
    "provider_redirect": Code(502, "provider", "api_connection_error"),
    "provider_not_json": Code(502, "provider", "api_connection_error"),
    "provider_broken": Code(502, "provider", "api_connection_error"),
    "provider_error": Code(502, "provider", "internal_server_error"),
    "provider_key_missing": Code(503, "machine", "internal_server_error"),
    "destination_refused": Code(403, "machine", "permission_error"),
    "destination_held": Code(403, "machine", "permission_error"),
    # this machine
    "vault_locked": Code(503, "machine", "internal_server_error"),
    "vault_absent": Code(503, "machine", "internal_server_error"),
    "vault_empty": Code(503, "machine", "internal_server_error"),
    "vault_denied": Code(503, "machine", "internal_server_error"),
    "vault_passphrase": Code(403, "caller", "permission_error"),
    "store_unavailable": Code(503, "machine", "internal_server_error"),
    "store_wrong_key": Code(503, "machine", "internal_server_error"),
    "store_newer": Code(503, "machine", "internal_server_error"),
    "data_folder": Code(503, "machine", "internal_server_error"),
    "draining": Code(503, "machine", "internal_server_error"),
    "engine_absent": Code(503, "machine", "internal_server_error"),
    "port_taken": Code(503, "machine", "internal_server_error"),
    # commands
    "confirmation_needed": Code(403, "caller", "permission_error"),
    "name_invalid": Code(400, "caller", "invalid_request_error"),
    "name_taken": Code(409, "caller", "invalid_request_error"),
    "unknown_name": Code(404, "caller", "invalid_request_error"),
    "kind_unknown": Code(400, "caller", "invalid_request_error"),
    "url_invalid": Code(400, "caller", "invalid_request_error"),
    "key_required": Code(400, "caller", "invalid_request_error"),
    "internal": Code(500, "ours", "internal_server_error"),
}


class AppError(Exception):
    """One thing that went wrong, said so that a person can act on it.

    code: a key of `CODES`. message: what happened, one sentence, no secrets. hint: what to do next, or "".
    param: the field of the request it is about (OpenAI's `param`). retry_after_s: when trying again makes sense.
    status: overrides the code's status where a provider's own status is passed on.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        param: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code: Final = code
        self.message: Final = message
        self.hint: Final = hint
        self.param: Final = param
        self.status: Final = status if status is not None else CODES[code].status
        self.retry_after_s: Final = retry_after_s

    @property
    def fault(self) -> Fault:
        return CODES[self.code].fault

    @property
    def openai_type(self) -> str:
        return CODES[self.code].openai_type

    def sentence(self) -> str:
        """Message and hint as one text: what the CLI prints and what a client program is told."""
        return f"{self.message} {self.hint}".strip()

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence()}"
