"""What can be typed for the verbs of `ledger`."""

from __future__ import annotations

from typing import Any


def add(verb: Any, verbs: Any, actions: Any, day: Any) -> None:
    """The words of these verbs. verb, actions: as `arguments` makes them; day: reads a date."""

    def period(parser: Any) -> None:
        parser.add_argument("--since", type=day, metavar="YYYY-MM-DD", help="from the start of this day, local time")
        parser.add_argument("--until", type=day, metavar="YYYY-MM-DD", help="up to the end of this day, local time")

    export = verb(verbs, "export", "write the requests to a file that only you can read; never what was asked or answered")
    export.add_argument("file", metavar="FILE", help="a new file, or - for standard output")
    export.add_argument("--form", choices=("csv", "jsonl"), default=None, help="by default what the file's name ends in, else csv")
    period(export)
    for name, many in (("client", "NAME"), ("provider", "NAME"), ("model", "NAME"), ("status", "STATUS")):
        export.add_argument(f"--{name}", action="append", default=[], metavar=many, help="only these; may be given several times")

    reprice = verb(verbs, "reprice", "work out what was recorded again by the prices of now; the first cost of each request is kept")
    period(reprice)
    reprice.add_argument("--all", action="store_true", help="also requests that have a price, not only unpriced ones")

    retention = actions("retention", "how long requests are kept; their sums are kept for ever")
    verb(retention, "show", "the limits, and what there is")
    limits = verb(retention, "set", "change the limits; 0 is no limit")
    limits.add_argument("--days", type=int, default=None, metavar="N", help="let go what is older")
    limits.add_argument("--size", default=None, metavar="SIZE", help="let go the oldest when there is more, like 500M or 2G")
    verb(retention, "run", "let go now what the limits let go, and give the space back to the disk")

    price = actions("price", "prices of your own, for contracts and for what has no price")
    put = verb(price, "set", "set one, in dollars for a million tokens; 0 is free of charge")
    put.add_argument("account", metavar="PROVIDER")
    put.add_argument("model", metavar="MODEL", help="or - for all of the provider's models without a price of their own")
    put.add_argument("--input", required=True, metavar="DOLLARS")
    put.add_argument("--output", required=True, metavar="DOLLARS")
    put.add_argument("--cached", default="", metavar="DOLLARS", help="for what was read from a cache (default: as input)")
    put.add_argument("--cache-write", default="", metavar="DOLLARS", help="for what was written to one (default: as input)")
    verb(price, "list", "yours, and what has none")
    gone = verb(price, "remove", "go back to the price file")
    gone.add_argument("account", metavar="PROVIDER")
    gone.add_argument("model", metavar="MODEL", help="or - for all")
