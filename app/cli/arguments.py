"""What can be typed: the verbs, their options and their help."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final, NoReturn

from app import __version__
from app.cli import ledger_options

DIMENSIONS: Final = ("hour", "day", "month", "client", "model", "provider")
EXIT_CODES: Final = """exit codes:
  0    done
  1    refused or failed; the line on standard error says why
  2    the command was not understood
  3    no gateway is running for this data folder (for serve: one is running already)
  4    the keys cannot be reached: vault locked, absent, empty or denied
  for audit verify and verify: 0 intact, 1 tampered, 2 incomplete, 3 bad input or no gateway
  130  interrupted"""

_KEY_ADVICE: Final = "A key is never taken from the command line, where other programs can read it: use --key-stdin, or type it when asked."


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """One line. What was typed is repeated only where it is an option's name: the rest may be a key in the wrong place."""
        if message.startswith("unrecognized arguments:"):
            names = [word.partition("=")[0] for word in message.split()[2:] if word.startswith("--")]
            message = f"unknown option {names[0]}" if names else "there is a word too many"
        print(f"gatehouse: {message}; see: {self.prog} --help", file=sys.stderr)  # noqa: T201
        raise SystemExit(2)


class _Refuse(argparse.Action):
    """An option that exists only to say why it does not."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.error(_KEY_ADVICE)


def parse(argv: list[str]) -> argparse.Namespace:
    """Every option as an attribute; `verb` is None for the window; `action` is the second word of two-word verbs."""
    options = _parser().parse_args(argv)
    for name, value in (("verb", None), ("action", None), ("json", False), ("data_dir", None)):
        if not hasattr(options, name):
            setattr(options, name, value)
    return options


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    shared.add_argument(
        "--data-dir",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="the data folder of the gateway that is meant (default: this user's own)",
    )
    top = _Parser(
        prog="gatehouse",
        description="A private LLM gateway on your own machine. Without a verb, the window opens.",
        epilog=EXIT_CODES,
        parents=[shared],
    )
    top.add_argument("--version", action="version", version=f"gatehouse {__version__}")
    _start_options(top)
    verbs = top.add_subparsers(metavar="VERB", dest="verb", parser_class=_Parser)

    def verb(group: Any, name: str, summary: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = group.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", parents=[shared], epilog=EXIT_CODES
        )
        return made

    def actions(name: str, summary: str) -> Any:
        return verb(verbs, name, summary).add_subparsers(metavar="ACTION", dest="action", parser_class=_Parser, required=True)

    _start_options(verb(verbs, "serve", "run the gateway without a window, until it is told to stop"))
    verb(verbs, "status", "what runs, and whether the listener on the port is really ours")

    provider = actions("provider", "the accounts that requests go out to")
    add = verb(provider, "add", "declare an account and store its key; the key is typed when asked, or comes on standard input")
    add.add_argument("name", metavar="NAME", help="what clients put before the model: NAME/model")
    add.add_argument("--kind", required=True, help="which provider; see: gatehouse provider kinds")
    add.add_argument("--base-url", default="", metavar="URL", help="the provider's address, where the kind does not fix it")
    add.add_argument("--local", action="store_true", help="allow addresses of this machine and its network, and only those")
    key = add.add_mutually_exclusive_group()
    _key_options(key)
    key.add_argument("--no-key", action="store_true", help="the provider wants none")
    verb(provider, "list", "the declared accounts")
    verb(provider, "kinds", "the kinds of provider that are known")
    verb(provider, "test", "ask the provider for its models").add_argument("name", metavar="NAME")
    replace = verb(provider, "key", "store another key for an account")
    replace.add_argument("name", metavar="NAME")
    _key_options(replace)
    verb(provider, "remove", "remove an account and its key").add_argument("name", metavar="NAME")

    client = actions("client", "the programs that may ask this gateway")
    for name, summary in (
        ("add", "allow a program and print its key, once"),
        ("block", "turn a program away until it is unblocked"),
        ("unblock", "let a blocked program in again"),
        ("remove", "forget a program; its key stops working"),
    ):
        verb(client, name, summary).add_argument("name", metavar="NAME")
    identifiers = verb(client, "identifiers", "what becomes of identifiers of you and your machine in a program's requests")
    identifiers.add_argument("name", metavar="NAME")
    identifiers.add_argument("choice", choices=("pseudonym", "remove", "pass"), help="pseudonym is what a new client has")
    content = verb(client, "content", "whether answers of the Responses API are kept for a program, encrypted, for 30 days")
    content.add_argument("name", metavar="NAME")
    content.add_argument("keeps", choices=("on", "off"), help="off also deletes what was kept")
    verb(client, "list", "the programs that may ask")

    activity = verb(verbs, "activity", "the last requests, newest last")
    activity.add_argument("--limit", type=_count, default=20, metavar="N", help="how many (default 20)")
    activity.add_argument("--follow", action="store_true", help="go on printing as requests end, until interrupted")

    usage = verb(verbs, "usage", "requests, tokens and cost, summed")
    usage.add_argument("--by", type=_dimensions, default=("day",), metavar="LIST", help=f"any of {','.join(DIMENSIONS)} (default day)")
    usage.add_argument("--since", type=_date, metavar="YYYY-MM-DD", help="from the start of this day, local time")
    usage.add_argument("--until", type=_date, metavar="YYYY-MM-DD", help="up to the end of this day, local time")

    audit = actions("audit", "the log of everything that was changed or refused")
    verb(audit, "list", "its last entries, newest last").add_argument(
        "--limit", type=_count, default=20, metavar="N", help="how many (default 20)"
    )
    verb(audit, "verify", "check that no entry was changed, removed or put in: 0 intact, 1 tampered, 2 incomplete")
    verb(audit, "status", "how far it is signed and remembered, and what was found")
    verb(audit, "export", "the whole log and the program that checks it, into a new folder").add_argument("folder", metavar="FOLDER")
    prune = verb(audit, "prune", "remove what is older, in whole signed segments")
    prune.add_argument("--keep-days", type=_days, default=None, metavar="N", help="how many days stay (default: as the policy says)")
    prune.add_argument("--preview", action="store_true", help="only say what would go")
    prune.add_argument("--yes", action="store_true", help="do not ask")
    policy = verb(audit, "policy", "how long it is kept, and what requests do while it cannot be written")
    policy.add_argument("--keep-days", type=_days, default=None, metavar="N", help="0 for ever")
    policy.add_argument("--on-failure", choices=("stop", "continue"), default=None, help="requests while the log cannot be written")
    accept = verb(audit, "accept", "go on from a log with a finding, under a new key: a restore that you confirm")
    accept.add_argument("--yes", action="store_true", help="do not ask")
    check = verb(
        verbs,
        "verify",
        "check an exported audit log or network report, without a gateway: 0 intact under the key that --key names, 1 tampered, "
        "2 incomplete (also when no key is given), 3 bad input",
    )
    check.add_argument("path", metavar="PATH", help="the folder of the export or report")
    check.add_argument(
        "--key",
        metavar="FINGERPRINT",
        default=None,
        help="the fingerprint the log must have, as its owner reads it off the Audit page; for a report, the key that must have signed it",
    )
    verb(verbs, "privacy", "each promise about privacy, how it is kept just now, and the command that checks it")

    network = actions("network", "what leaves this machine, and proof of what does not")
    verb(network, "status", "the level that was measured, the layers, and whether the books agree (1 when they do not)")
    verb(network, "destinations", "everything that may be contacted, used or not")
    verb(network, "refused", "what was refused, and who asked")
    verb(network, "selftest", "every process really tries to get out, to addresses that belong to nobody")
    verb(network, "report", "a signed report and the program that checks it, into a new folder").add_argument("folder", metavar="FOLDER")

    ledger_options.add(verb, verbs, actions, _date)

    confirm = verb(verbs, "confirm", "what waits for you: destinations and changes that nobody asked for here; with numbers, confirm them")
    confirm.add_argument("numbers", metavar="NUMBER", type=_place, nargs="*", help="as the list shows it; without any, the list is printed")
    confirm.add_argument("--all", action="store_true", help="everything that waits at this moment")
    confirm.add_argument("--refuse", action="store_true", help="drop them instead: they stay undone")

    unlock = verb(verbs, "unlock", "open the vault: asks for the passphrase, or lets the system ask for its keyring")
    unlock.add_argument("--passphrase-stdin", action="store_true", help="read the passphrase from standard input")
    keys = actions("keys", "the keys of providers")
    forget = verb(keys, "policy", "what becomes of keys in memory when the keyring locks while the gateway runs")
    forget.add_argument(
        "--forget-on-lock", choices=("on", "off"), default=None, help="on: they are forgotten, and requests get 503 (default off)"
    )
    verb(verbs, "quit", "stop the gateway: it finishes what it is doing, at most four seconds")

    shortcut = actions("shortcut", "the entry in the system's menu that a double click starts")
    verb(shortcut, "install", "make it")
    verb(shortcut, "remove", "take it away again")
    return top


def _start_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=_port, default=None, help="the port to listen on; without it 4141, or the next free one")
    parser.add_argument("--vault", choices=("keyring", "passphrase", "session"), default=None, help="where keys are kept")
    parser.add_argument(
        "--passphrase-file", metavar="FILE", default=None, help="the passphrase of the vault is the first line of this file"
    )


def _key_options(parser: Any) -> None:
    parser.add_argument("--key-stdin", action="store_true", help="read the key from standard input")
    for name in ("--key", "--api-key"):
        parser.add_argument(name, nargs="?", action=_Refuse, help=argparse.SUPPRESS)


def _count(text: str) -> int:
    return _number(text, 1, 100_000, "a number from 1 to 100000 is needed")


def _place(text: str) -> int:
    return _number(text, 1, 999_999_999, "a number from the list is needed")


def _days(text: str) -> int:
    return _number(text, 0, 36_500, "a number of days from 0 to 36500 is needed")


def _port(text: str) -> int:
    return _number(text, 0, 65_535, "a port is a number from 1 to 65535, or 0 for any that is free")


def _number(text: str, least: int, most: int, otherwise: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(otherwise)


def _dimensions(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(DIMENSIONS) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"any of {','.join(DIMENSIONS)}, each once, without blanks")
    return names


def _date(text: str) -> Any:
    import datetime  # noqa: PLC0415  only this option needs it

    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a day is needed, like 2026-11-28") from None
