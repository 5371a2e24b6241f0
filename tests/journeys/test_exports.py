"""Everything a person takes out, from a real window and from the command line: whole and checkable, or nothing, and the engine writes
none of it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import openai
import pytest

from app import report_verifier, verifier
from app.core.errors import AppError
from app.core.exports import KINDS
from app.store import audit
from app.store.database import Store
from app.system import landlock
from app.system.paths import Paths
from tests import disks
from tests.gateway import ROOT, Gateway, free_port, gateway, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes and their descriptors as /proc shows them")

PROGRAM = """
import sys
from pathlib import Path
from app.keeper.main import Options, run
from app.system.children import own_command
acting = [sys.executable, "-s", "-P", sys.argv[4], sys.argv[5], "gui"]
options = Options(
    data_dir=Path(sys.argv[1]), port=int(sys.argv[2]), vault="passphrase", passphrase_file=Path(sys.argv[3]), window=True,
    command=lambda verb: acting if verb == "gui" else own_command(verb),
)
sys.exit(run(options))
"""


class Acted(Gateway):
    """The whole app with a window that acts."""

    def __init__(self, folder: Path, into: Path) -> None:
        super().__init__(folder)
        self.into = into

    def start(self, port: int = 0) -> Gateway:
        port = port or free_port()
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"QT_QPA_PLATFORM": "offscreen"}
        window = Path(__file__).with_name("acting_window.py")
        given = (str(self.folder), str(port), str(self.passphrase), str(window), str(self.into))
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *given], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{port}"
        return self

    def acts(self) -> list[str]:
        log = Paths(self.folder).logs / "gui.log"
        return [line.removeprefix("ACT ") for line in log.read_text().splitlines() if line.startswith("ACT ")] if log.exists() else []


def test_every_export_of_the_window_is_whole_and_somebody_elses_work(tmp_path: Path) -> None:
    into = tmp_path / "exports"
    into.mkdir(mode=0o700)
    with gateway(tmp_path / "data") as before:  # some history first
        sdk = openai.OpenAI(base_url=f"{before.url}/v1", api_key=before.client(), max_retries=0)
        for _ in range(3):
            sdk.chat.completions.create(model="gatehouse/echo", messages=[{"role": "user", "content": "hello"}])
    with Acted(tmp_path / "data", into) as one:
        acts = wait_for(lambda: "done" in (said := one.acts()) and said, "the window to have exported", 60)
        with one.control() as control:
            pin = control.audit_status().fingerprint
            assert {"audit.exported", "ledger.exported", "egress.report"} <= {entry.kind for entry in control.audit().entries}
        log = (Paths(one.folder).logs / "keeper.log").read_text()
    assert "requests: 3 requests written" in acts
    assert "requests.jsonl exists already. Choose another name; nothing is overwritten." in acts
    (exported,) = into.glob("gatehouse-audit-*")
    (reported,) = into.glob("gatehouse-network-*")
    said = "\n".join(acts)
    assert re.search(rf'\d+ entries exported to {exported.name}\. Check it anywhere: python -I verify.py --key "{pin}"', said)
    key = re.search(rf"The signed report is in {reported.name}\. Check it anywhere: python -I verify.py --key (\S+)", said)
    assert key is not None
    assert verifier.check(exported, pin=pin).state == "intact"
    assert report_verifier.check(reported, key[1])[0] == "intact"
    assert len([json.loads(line) for line in (into / "requests.jsonl").read_text().splitlines()]) == 3
    if landlock.version():
        assert "it cannot write by itself: Permission denied" in acts
    assert {entry.name for entry in into.iterdir()} - {"by-itself.csv"} == {"requests.jsonl", exported.name, reported.name}
    assert stat.S_IMODE((into / "requests.jsonl").stat().st_mode) == 0o600
    assert log.count("is begun by process") == 3
    assert log.count("is kept") == 3


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Gateway:  # type: ignore[misc]
    with gateway(tmp_path_factory.mktemp("exports") / "data") as one:
        one.client("somebody")
        yield one


TARGETS = ["a file", "a link", "a dangling link", "a pipe", "a folder"]


@pytest.mark.parametrize("what", TARGETS)
@pytest.mark.parametrize("words", [("export",), ("audit", "export"), ("network", "report")])
def test_the_command_line_writes_only_what_is_new(running: Gateway, tmp_path: Path, words: tuple[str, ...], what: str) -> None:
    target, precious = tmp_path / "out", tmp_path / "precious"
    precious.write_text("precious")
    make = {
        "a file": lambda: target.write_text("mine"),
        "a link": lambda: target.symlink_to(precious),
        "a dangling link": lambda: target.symlink_to(tmp_path / "nothing"),
        "a pipe": lambda: os.mkfifo(target),
        "a folder": target.mkdir,
    }
    make[what]()
    done = running.cli(*words, str(target), check=1)
    assert "out exists already. Choose another name; nothing is overwritten." in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "precious"]
    assert precious.read_text() == "precious"
    running.cli(*words, str(tmp_path / "new"))
    mode = (tmp_path / "new").stat().st_mode
    assert stat.S_IMODE(mode) == (0o600 if words == ("export",) else 0o700)


def test_the_command_line_says_what_it_exported_and_the_export_is_intact(running: Gateway, tmp_path: Path) -> None:
    said = running.cli_json("audit", "export", str(tmp_path / "log"))
    assert said["folder"] == str(tmp_path / "log")
    assert said["signed"] is True
    assert said["size_bytes"] == sum(file.stat().st_size for file in (tmp_path / "log").iterdir())
    assert said["entries"] == len((tmp_path / "log" / "entries.jsonl").read_bytes().splitlines())
    assert said["fingerprint"] == running.cli_json("audit", "status")["fingerprint"]
    assert verifier.check(tmp_path / "log", pin=said["fingerprint"]).state == "intact"
    assert sorted(file.name for file in (tmp_path / "log").iterdir()) == sorted(KINDS["audit"].names)


@pytest.mark.parametrize("words", [("export",), ("audit", "export"), ("network", "report")])
def test_a_full_disk_is_named_by_the_command_line_and_leaves_nothing(running: Gateway, small_disk: Path, words: tuple[str, ...]) -> None:
    filler = disks.fill(small_disk)
    done = running.cli(*words, str(small_disk / "out"), check=1)
    assert "The disk is full: out was not written." in done.stderr
    assert list(small_disk.iterdir()) == [filler]


def test_the_engine_writes_no_path_that_a_client_names(running: Gateway, tmp_path: Path) -> None:
    """A body as it was once understood changes nothing: what comes is the stream."""
    import http.client
    import socket

    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(Paths(running.folder).control))

    asking = Connection("gatehouse")
    asking.request("POST", "/v0/audit/export", json.dumps({"folder": str(tmp_path / "out")}), {"content-type": "application/json"})
    answer = asking.getresponse()
    assert answer.status == 200
    assert b'"made":{"entries":' in answer.read()
    asking.close()
    assert list(tmp_path.iterdir()) == []


class GivenUpError(Exception):
    """The person's."""


def test_an_export_that_is_given_up_leaves_the_engine_as_it_was(running: Gateway) -> None:
    def give_up(number: int, piece: bytes) -> None:
        raise GivenUpError

    with running.control() as control:
        for _ in range(12):  # more than there are readers of the database
            with pytest.raises(GivenUpError):
                control.export_audit(give_up)
        pieces: list[tuple[int, bytes]] = []
        assert control.export_audit(lambda number, piece: pieces.append((number, piece))).signed
        assert {number for number, _ in pieces} == {0, 1, 2}
        assert control.snapshot().state == "running"


@pytest.fixture
def long(tmp_path: Path) -> Gateway:  # type: ignore[misc]
    """A log of 60,000 entries more, some 60 MB."""
    from app.core.events import ClientAdded

    with gateway(tmp_path / "data") as one:
        key = one.keys()["db"]
    with closing(Store.open(Paths(one.folder).database, key)) as store, store.write() as connection:
        audit.append_all(connection, [(ClientAdded(name=f"{'n' * 400}-{n}", key_hint="…abcd"), "person", 1) for n in range(60_000)])
    with one:
        one.wait_open()
        yield one


def test_a_slow_reader_of_a_long_log_holds_up_nobody_and_costs_no_memory(long: Gateway) -> None:
    """While one piece is not taken, requests are answered, changes are made, and the engine holds a few pieces and no more."""
    held, begun = threading.Event(), threading.Event()
    sizes: list[int] = []

    def slowly(number: int, piece: bytes) -> None:
        sizes.append(len(piece))
        begun.set()
        held.wait(60)

    made: list[object] = []
    with long.control() as control:
        before = peak(long.pids()["engine"])
        reading = threading.Thread(target=lambda: made.append(control.export_audit(slowly)))
        reading.start()
        assert begun.wait(30)
        with long.control() as other:
            sdk = openai.OpenAI(base_url=f"{long.url}/v1", api_key=other.add_client("while-it-reads").key, max_retries=0)
            assert sdk.chat.completions.create(model="gatehouse/echo", messages=[{"role": "user", "content": "x"}]).choices
            assert other.audit(limit=1).entries
            assert other.audit_status().entries > 60_000
        held.set()
        reading.join(60)
        assert made
        grown = peak(long.pids()["engine"]) - before
    assert sum(sizes) > 40 << 20
    assert max(sizes) <= 1 << 20
    assert grown < 20 << 10, f"{grown} KB"


def test_a_gateway_that_stops_does_not_wait_for_a_reader(long: Gateway) -> None:
    held, begun = threading.Event(), threading.Event()
    codes: list[str] = []

    def slowly(number: int, piece: bytes) -> None:
        begun.set()
        held.wait(60)

    def read() -> None:
        with long.control() as control:
            try:
                control.export_audit(slowly)
            except AppError as error:
                codes.append(error.code)

    reading = threading.Thread(target=read)
    reading.start()
    assert begun.wait(30)
    assert long.stop() == 0
    held.set()
    reading.join(60)
    assert codes == ["engine_absent"]


def peak(pid: int) -> int:
    """The most memory a process had so far, in kilobytes."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def test_an_engine_that_dies_half_way_is_an_error_and_nothing_is_kept(long: Gateway, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill(number: int, piece: bytes) -> None:
        if not killed:
            killed.append(long.pids()["engine"])
            os.kill(killed[0], signal.SIGKILL)

    with long.control() as control, pytest.raises(AppError) as broken:
        control.export_audit(kill)
    assert broken.value.code == "engine_absent"
    long.wait_open()
    command = [sys.executable, "-m", "app", "audit", "export", str(tmp_path / "out"), "--data-dir", str(long.folder)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as asking:
        wait_for(lambda: asking.poll() is not None or list(tmp_path.glob("out.*.part")), "the export to begin")
        os.kill(long.pids()["engine"], signal.SIGKILL)
        asking.wait(30)
    assert asking.returncode in (0, 1)
    left = [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("out")]
    assert left == ([] if asking.returncode else ["out"])
