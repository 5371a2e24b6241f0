"""What the database holds, column by column, so that what is promised about it can be measured: a column that is not on this list might
hold anything. `responses` alone holds what was asked and answered, and only of clients for which the person allowed that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_KNOWN: Final = """
accounts: name kind base_url local keyed key_hint created_us models tested_us test_ok test_message test_ms id
audit: seq body hash kind tag
checkpoints: number seq lasting body signature
clients: name digest prefix last4 created_us blocked last_seen_us keeps_content identifiers id
daily: ahead day client account kind model requests failed local input cached cache_write output reasoning cost_microusd unpriced estimated
day_spans: first until ahead
egress: connection opened_us closed_us purpose account host port local address tls issuer spki resolve_us connect_us used other_out
egress: bytes_out bytes_in counted
exchanges: id batch client endpoint dialect asked account kind model outcome error price host message dropped stream opened_us closed_us
exchanges: duration_us first_byte_us status attempts cost_microusd connection bytes_out bytes_in removed_headers input cached cache_write
exchanges: output reasoning estimated client_id account_id
families: id client account model status outcome error
family_rows: family exchange
hosts: quarter host local connections bytes_out bytes_in last_us
migrations: number name at_us
names: quarter name times found last_us
own_prices: account model input output cached cache_write set_us
refusals: id at_us process what target account address rule sentence stack count
repriced: exchange run cost_microusd price before_microusd before_price
responses: id client created_us account input body
rollups: quarter client account kind model requests failed local input cached cache_write output reasoning cost_microusd unpriced estimated
settings: name value
taken: quarter client account kind model requests failed local input cached cache_write output reasoning cost_microusd unpriced estimated
tree_edge: id size edge
words: id text
"""
_COLUMNS: Final = frozenset(
    f"{table}.{column}" for line in _KNOWN.split("\n") if line for table, _, rest in [line.partition(": ")] for column in rest.split()
)
_ALL: Final = """
SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_table_xinfo(t.name) c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1"""
_CONTENTS: Final = """
SELECT client, count(*), min(created_us) FROM responses WHERE length(input) > 0 OR length(body) > 0 GROUP BY client ORDER BY client"""


@dataclass(frozen=True, slots=True)
class Contents:
    """Answers that are kept here for a client, with what was asked."""

    client: str
    answers: int
    oldest_us: int


def unknown(connection: Connection) -> list[str]:
    """Columns that this list does not know, as `table.column`."""
    return [name for (name,) in connection.exec_driver_sql(_ALL) if name not in _COLUMNS]


def contents(connection: Connection) -> list[Contents]:
    """Whose prompts and answers are kept, and how many."""
    return [Contents(*row) for row in connection.exec_driver_sql(_CONTENTS)]
