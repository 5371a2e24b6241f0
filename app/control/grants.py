"""Which of the control API's routes needs a grant, and why the others need none. A route that is not here fails a test.

A wish is named as in `core.wishes`. What has "" changes nothing that a person could not see and undo, or takes something away from
everybody's reach, or gives away what whoever is at the control socket can read there anyhow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# The route, its variable parts as *: the wishes it needs, when it would really change something.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "POST providers": ("destination",),
    "POST providers * test": (),  # to where the account goes anyhow
    "PUT providers * key": (),  # a key goes to the account's own host alone
    "DELETE providers *": (),  # one destination fewer
    "POST clients": (),  # a program that may ask what this one may ask already
    "POST clients * block": (),
    "POST clients * unblock": (),
    "POST clients * identifiers": ("client.identifiers",),
    "POST clients * content": ("client.content",),
    "DELETE clients *": (),
    "POST audit verify": (),
    "POST audit export": (),
    "POST audit prune": ("audit.prune",),
    "PUT audit policy": ("audit.keep_days", "audit.on_failure"),
    "POST audit accept": ("audit.accept",),
    "PUT prices": (),  # recorded costs stay as they are
    "POST prices remove": (),
    "POST reprice": (),  # written down with the sums before and after
    "PUT retention": ("ledger.keep_days", "ledger.keep_bytes"),
    "POST retention run": (),  # what the policy lets go anyhow
    "POST network selftest": (),
    "POST network report": (),
    "POST echo": (),
    "POST vault unlock": ("unlock",),  # unless a passphrase is given: who has it is the person
    "PUT vault policy": ("vault.forget_on_lock",),
    "POST quit": (),
}
