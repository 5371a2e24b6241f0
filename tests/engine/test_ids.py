"""A client's pseudonym follows its id: what was there before ids keeps the one it had, and a new name would change none."""

from __future__ import annotations

import hashlib
import hmac

from app.core.ids import own_id
from app.core.records import Client
from app.engine.clients import Clients
from app.engine.draft import Draft

KEY = b"k" * 32
# As the release before ids made them: of the client's name.
OF_CURSOR = "gh-" + hmac.digest(hmac.digest(KEY, b"gatehouse pseudonyms v1", "sha256"), b"client\0Cursor\0", hashlib.sha256).hex()[:32]


def test_a_client_from_before_ids_keeps_its_pseudonym_under_any_name() -> None:
    made = Clients(KEY)
    for name in ("Cursor", "Editor"):
        client = Client(name=name, prefix="sk-gh-", last4="abcd", created_us=1, id="Cursor")
        assert made.pseudonyms.of_client(client.id) == OF_CURSOR


def test_a_client_of_now_has_an_id_that_no_name_is() -> None:
    first, second = own_id("cli", 1_795_000_000_000_000), own_id("cli", 1_795_000_000_000_000)
    assert first != second
    assert first.startswith("cli_01M7Q5CQG0")
    assert len(first) == 30


def test_a_draft_tells_the_ids() -> None:
    draft = Draft(1_795_000_000_000_000, "chat/completions", "openai")
    draft.client, draft.client_id = "Cursor", "cli_1"
    row = draft.closing(401, "refused", 1_795_000_000_000_001)
    assert (row.client, row.client_id, row.account_id) == ("Cursor", "cli_1", "")
