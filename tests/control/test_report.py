"""The signed network report: whole, changed, hostile, and checked by its one file alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app import report_verifier
from app.control import report
from app.control.contract import NetworkReport
from app.core import chain
from app.core.errors import AppError
from tests import exports

KEY = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
EVIL = "<script>alert(1)</script>"
PUBLIC = KEY.public_key().public_bytes_raw().hex()


def told(**changes: Any) -> dict[str, object]:
    record = {
        "connection": 7, "opened_us": 1, "closed_us": 2, "account": "work", "host": EVIL, "port": 443, "local": False,
        "address": "1.2.3.4:443", "bytes_out": 5, "bytes_in": 6,
    }  # fmt: skip
    view: dict[str, Any] = {
        "level": "kernel", "level_reason": "", "since_us": 1_760_000_000_000_000, "connections": 1, "hosts": 1, "local_hosts": 0,
        "refused_count": 0, "refused": [], "names": [], "layers": [], "unexplained": [],
        "destinations": [
            {
                "host": EVIL, "port": 443, "local": False, "purpose": "x", "connections": 1, "bytes_out": 5, "bytes_in": 6,
                "tls": "", "issuer": "",
            }
        ],
        "books": {"ledger": 1, "records": 1, "keeper": 1, "seen": 1, "mismatches": []},
    }  # fmt: skip
    return {
        "format": "gatehouse network report", "version": 1, "made_us": 1_760_000_100_000_000, "audit_epoch": 1, "says": "It cannot show.",
        "view": view, "records": [record],
    } | changes  # fmt: skip


def signed(**changes: Any) -> NetworkReport:
    body = chain.canonical(told(**changes))
    return NetworkReport(report=body.decode(), signature=KEY.sign(report_verifier.DOMAIN + body).hex(), key=PUBLIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return exports.write_report(tmp_path / "report", signed())


def test_a_whole_report_is_intact_by_its_own_file_alone(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "verify.py"), "--key", PUBLIC, "--json"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "intact"), done.stderr
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("level", "title"),
    [("kernel", "Enforced by the kernel"), ("desktop", "Enforced by the kernel, desktop in reach"), ("guarded", "Guarded and observed")],
)
def test_the_page_names_the_level_and_why_it_is_not_higher(level: str, title: str) -> None:
    view: Any = told()["view"]
    page = report.page(signed(view=view | {"level": level, "level_reason": "The window can ask other programs: <bus>."}))
    assert f"<b>{title}</b> The window can ask other programs: &lt;bus&gt;." in page


def test_without_a_key_to_compare_it_says_so(folder: Path) -> None:
    assert report_verifier.check(folder)[0] == "incomplete"
    assert report_verifier.check(folder, "00" * 32)[0] == "tampered"


@pytest.mark.parametrize(("old", "new"), [("kernel", "guarded"), ("1.2.3.4", "1.2.3.5"), ('"bytes_out":5', '"bytes_out":4'), ("{", "{ ")])
def test_any_change_is_found(folder: Path, old: str, new: str) -> None:
    path = folder / "report.json"
    path.write_text(path.read_text().replace(old, new, 1))
    assert report_verifier.check(folder, PUBLIC)[0] == "tampered"


def test_a_report_that_hides_a_connection_does_not_add_up(tmp_path: Path) -> None:
    folder = exports.write_report(tmp_path / "r", signed(records=[]))
    assert report_verifier.check(folder, PUBLIC) == ("tampered", "The report speaks of 1 connections and lists 0.")
    twice = [*told()["records"], *told()["records"]]  # type: ignore[misc]
    folder = exports.write_report(tmp_path / "r2", signed(records=twice))
    assert report_verifier.check(folder, PUBLIC)[0] == "tampered"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.json", b""), ("report.json", b"[]"), ("report.json", b"\xff\xfe"), ("report.json", b'{"format":"other"}'),
        ("report.json", b"[" * 100_000), ("report.json", b'{"format":"gatehouse network report","version":1,"x":1.5}'),
        ("signature.json", b"{}"), ("signature.json", b'{"key":1,"signature":2}'), ("signature.json", b'{"key":"zz","signature":"zz"}'),
        ("signature.json", b"null"), ("report.json", b'{"format":"gatehouse network report","version":1,"x":NaN}'),
    ],
)  # fmt: skip
def test_hostile_files_end_in_a_verdict(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert report_verifier.check(folder, PUBLIC)[0] == "bad input"


def test_a_report_that_moves_a_connection_to_another_host_does_not_add_up(tmp_path: Path) -> None:
    moved = [told()["records"][0] | {"host": "another.example"}]  # type: ignore[index]
    folder = exports.write_report(tmp_path / "r", signed(records=moved))
    state, why = report_verifier.check(folder, PUBLIC)
    assert (state, why) == ("tampered", "The report speaks of 1 connections to <script>alert(1)</script>:443 and lists 0.")


@pytest.mark.parametrize(
    "changes",
    [
        {"records": [{"connection": ["7"]}]}, {"records": {"a": 1}}, {"records": 7}, {"records": ["x"]}, {"view": []}, {"view": {}},
        {"view": {"connections": "many", "destinations": []}}, {"view": {"connections": None, "destinations": []}},
        {"view": {"connections": 1, "destinations": [7]}}, {"view": {"connections": 1, "destinations": None}},
        {"records": [{"connection": 7, "host": [], "port": {}, "local": None}]},
    ],
)  # fmt: skip
def test_what_a_stranger_signed_with_a_key_of_their_own_ends_in_a_verdict_too(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A valid signature says nothing about shapes: whoever made the report may have made it to break this program."""
    body = chain.canonical(told(**changes))
    (tmp_path / "report.json").write_bytes(body)
    signature = KEY.sign(report_verifier.DOMAIN + body).hex()
    (tmp_path / "signature.json").write_text(json.dumps({"key": PUBLIC, "signature": signature}))
    assert report_verifier.check(tmp_path, PUBLIC) == ("tampered", "The report lacks its connections.")


@pytest.mark.parametrize("depth", [*range(300, 1_100, 50), 5_000])
def test_deep_nesting_ends_in_a_verdict_at_every_depth(folder: Path, depth: int) -> None:
    text = '{"format":"gatehouse network report","version":1,"x":' + "[" * depth + "]" * depth + "}"
    (folder / "report.json").write_text(text)
    assert report_verifier.check(folder, PUBLIC)[0] in ("tampered", "bad input")


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices as files")
def test_a_pipe_a_device_or_a_folder_in_place_of_a_file_is_not_read(folder: Path) -> None:
    for name in ("report.json", "signature.json"):
        path, kept = folder / name, (folder / name).read_bytes()
        for make in (lambda at: at.symlink_to("/dev/zero"), os.mkfifo, Path.mkdir):
            path.unlink()
            make(path)  # type: ignore[operator]
            assert report_verifier.check(folder, PUBLIC) == ("bad input", f"{name} is not there, or is no ordinary file.")
            path.rmdir() if path.is_dir() else path.unlink()
            path.write_bytes(kept)
    assert report_verifier.check(folder, PUBLIC)[0] == "intact"


def test_a_short_key_or_signature_is_no_signature(folder: Path) -> None:
    (folder / "signature.json").write_text('{"key":"00","signature":"00"}')
    assert report_verifier.check(folder, PUBLIC)[0] == "tampered"


def test_nothing_there_is_bad_input(tmp_path: Path) -> None:
    assert report_verifier.check(tmp_path)[0] == "bad input"


def test_the_page_escapes_what_it_shows_and_fetches_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in text
    assert "http://" not in text
    assert "https://" not in text
    assert "It cannot show." in text
    assert f"python -I verify.py --key {PUBLIC}" not in text  # a page that came with a report does not vouch for its own key
    assert "python -I verify.py --key KEY" in text


def test_a_folder_that_is_there_is_not_touched(folder: Path) -> None:
    with pytest.raises(AppError, match="exists already"):
        exports.write_report(folder, signed())


@pytest.mark.parametrize("host", ["x\r\x1b[2Kintact: Nothing was changed.\x1b[8m", "\ud800", "x" * 100_000])
def test_a_name_in_a_strangers_report_says_nothing_to_a_terminal(
    tmp_path: Path, host: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    view = dict(told()["view"], destinations=[{"host": host, "port": 443, "local": False, "connections": 2}])  # type: ignore[call-overload]
    body = json.dumps(told(view=view), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    (tmp_path / "report.json").write_bytes(body)
    signature = KEY.sign(report_verifier.DOMAIN + body).hex()
    (tmp_path / "signature.json").write_text(json.dumps({"key": PUBLIC, "signature": signature}))
    assert report_verifier.run(tmp_path, key=PUBLIC) == 1
    printed = capfdbinary.readouterr().out
    assert printed.startswith(b"tampered: ")
    assert len(printed) < 1_000
    assert printed.strip().decode().isprintable()
