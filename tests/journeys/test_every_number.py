"""Every whole number that the control API can be asked with: whatever it is, the answer is one of ours, and never a mistake of ours.

The numbers are found in the contract itself, so that one that is added is tried, too.
"""

from __future__ import annotations

import inspect
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from app.control import contract
from app.engine import audit_routes, control, figures
from tests.gateway import Gateway, gateway

NUMBERS = ("-1", "0", "1", "2147483648", "9007199254740992", "9007199254740993", "999999999999999999",
           "9223372036854775807", "9223372036854775808",
           "-9223372036854775809", "99999999999999999999", "1" * 400, "1" * 5000, "1e3", "1.5", "1e400", "-0", "true", "null",
           '"7"', "[]")  # fmt: skip
TEXTS = (
    *(text for text in NUMBERS if text[0] not in '"['),
    "",
    "0" * 300 + "5",
    "+1",
    " 1",
    "1_0",
    "\u0663",
    "\u00b2",
    "0x10",
    "%00",
    "1,2",
)
# GET parameters that are numbers, by where they are asked; the first ones make the question whole.
QUERIES = {
    "activity": ("limit", "since_us", "until_us"),
    "activity/minutes": ("since_us", "until_us"),
    "usage": ("since_us", "until_us"),
    "export": ("since_us", "until_us"),
    "audit": ("limit", "before"),
    "audit/prune": ("keep_days",),
    "network": ("from",),
    "network/records": ("limit",),
}
WORDS = {str: "x", bool: True, tuple: [], int: 1}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("numbers") / "data") as running:
        yield running


def ask(one: Gateway, method: str, target: str, body: str = "") -> tuple[int, bytes]:
    """Status and body of one request, as written here and nowhere else."""
    with one.control() as client:
        path = client._control
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(60)
        asked.connect(str(path))
        head = f"{method} {target} HTTP/1.1\r\nhost: gatehouse\r\nconnection: close\r\ncontent-type: application/json\r\n"
        asked.sendall(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        answer = b""
        while data := asked.recv(65536):
            answer += data
    head_of, _, rest = answer.partition(b"\r\n\r\n")
    return int(head_of.split()[1]), rest


def understood(one: Gateway, method: str, target: str, body: str = "") -> int:
    status, answer = ask(one, method, target, body)
    assert status != 500, (method, target[:200], body[:200], status, answer[:300])
    if status >= 400:  # store_unavailable: nothing is pruned while the log is not signed yet
        assert json.loads(answer)["code"] in ("body_invalid", "not_found", "unknown_name", "store_unavailable", "confirmation_needed"), (
            answer
        )
    return status


def shapes() -> dict[str, tuple[str, type[msgspec.Struct]]]:
    """Every body that can be sent, by its place: as the contract's own table says."""
    found = {}
    for method, path, name in re.findall(r"^ {4}(POST|PUT) +(/v0/\S+(?: \| \w+)?) +([A-Z]\w+) +->", contract.__doc__ or "", re.MULTILINE):
        found[f"{method} {path}"] = (name, getattr(contract, name))
    return found


def numbers_of(shape: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(shape) if _holds_int(msgspec.inspect.type_info(field.type))]


def _holds_int(info: msgspec.inspect.Type) -> bool:
    if isinstance(info, msgspec.inspect.UnionType):
        return any(_holds_int(each) for each in info.types)
    return isinstance(info, msgspec.inspect.IntType)


def _bounds(info: msgspec.inspect.Type) -> tuple[int | None, int | None]:
    if isinstance(info, msgspec.inspect.UnionType):
        return next(_bounds(each) for each in info.types if _holds_int(each))
    assert isinstance(info, msgspec.inspect.IntType)
    return info.ge, info.le


def test_the_table_has_every_body_that_is_read() -> None:
    """A body that the engine reads and the contract's table does not name would not be tried here."""
    read = set()
    for module in (control, audit_routes, figures):
        read |= set(re.findall(r"read\((?:request, )?contract\.(\w+)\)", inspect.getsource(module)))
        assert not re.findall(r"read\((?:request, )?(?!contract\.)(?!shape)[A-Z]\w+\)", inspect.getsource(module))
    assert read == {name for name, _ in shapes().values()}


def test_every_number_in_a_body_has_a_bound() -> None:
    tried = 0
    for _, shape in shapes().values():
        for field in msgspec.structs.fields(shape):
            info = msgspec.inspect.type_info(field.type)
            if _holds_int(info):
                assert _bounds(info) == (0, contract.MOST_NUMBER), (shape.__name__, field.name)
                tried += 1
    assert tried >= 6


BODIES = [(place, name) for place, (_, shape) in shapes().items() for name in numbers_of(shape)]


@pytest.mark.parametrize(("place", "name"), BODIES)
def test_every_number_in_a_body(one: Gateway, place: str, name: str) -> None:
    method, path = place.split(" ")
    shape = shapes()[place][1]
    whole: dict[str, Any] = {}
    for field in msgspec.structs.fields(shape):
        if field.required:
            kind = msgspec.inspect.type_info(field.type)
            whole[field.encode_name] = 1 if _holds_int(kind) else "x"
    refused = 0
    for number in NUMBERS:
        body = json.dumps({**whole, name: "NUMBER"}).replace('"NUMBER"', number)
        refused += understood(one, method, path, body) >= 400
    assert refused >= 8, "those that are no whole number in the bounds"


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, names in QUERIES.items() for name in names])
def test_every_number_in_a_query(one: Gateway, path: str, name: str) -> None:
    others = "&".join(f"{other}=60000000" for other in QUERIES[path] if other != name)
    for text in TEXTS:
        understood(one, "GET", f"/v0/{path}?{name}={quote(text, safe='%+')}&{others}")


@pytest.mark.parametrize("path", ["audit/{}", "network/records/{}"])
def test_every_number_in_a_path(one: Gateway, path: str) -> None:
    for text in TEXTS:
        understood(one, "GET", f"/v0/{path.format(quote(text, safe='%+'))}")


def test_the_queries_are_all_that_the_engine_reads() -> None:
    named = {name for names in QUERIES.values() for name in names}
    read = set()
    for module in (control, audit_routes, figures):
        source = inspect.getsource(module)
        read |= set(re.findall(r'_number\(arguments, "(\w+)"', source)) | set(re.findall(r'number\(arguments\S*?"(\w+)"', source))
        read |= set(re.findall(r'bound\("(\w+)"\)', source))
    assert read == named


def test_a_prune_beyond_every_number_leaves_the_log_as_it_is(one: Gateway) -> None:
    """What was answered with 500 and a trace in the log."""
    for upto in ("99999999999999999999", "9223372036854775808", "9007199254740992"):
        understood(one, "POST", "/v0/audit/prune", json.dumps({"upto": 0}).replace("0", upto))
    assert one.cli_json("audit", "verify")["intact"] is True
    log = "\n".join(path.read_text(errors="replace") for path in Path(one.folder, "logs").glob("engine.log*"))
    assert "Traceback" not in log
    assert "a request handler failed" not in log
