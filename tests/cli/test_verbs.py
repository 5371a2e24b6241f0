"""The verbs against a control server on a real unix socket."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from app.cli import FAILED, GATEWAY, KEYS, OK, USAGE, arguments, audit
from app.control import contract as c
from tests.cli.conftest import Ran
from tests.control.server import START_US, ControlServer

KEY = "sk-canary-0123456789abcdef"
Run = Callable[..., Ran]


def exchange(number: int, **fields: object) -> c.Exchange:
    row = c.Exchange(
        id=f"req_{number:026}",
        opened_us=START_US + number,
        client="editor",
        asked="work/gpt",
        account="work",
        model="gpt",
        status=200,
        outcome="completed",
        duration_us=1_500_000,
        cost_microusd=1234,
        tokens=c.Exchange(id="", opened_us=0).tokens,
    )
    return dataclasses.replace(row, **fields)


# -- no gateway, wrong words


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("provider", "list"), ("client", "add", "x"), ("activity",), ("activity", "--follow"), ("usage",), ("audit", "verify"),
        ("unlock",), ("quit",), ("provider", "add", "x", "--kind", "openai", "--no-key"),
    ],
)  # fmt: skip
def test_without_a_gateway_one_line_says_so_and_how_to_start_it(here: Run, words: tuple[str, ...]) -> None:
    ran = here(*words)
    assert ran.code == GATEWAY
    assert ran.out == "" or words == ("activity", "--follow")
    assert ran.err.count("\n") == 1
    assert "gatehouse serve" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",), ("provider",), ("provider", "add"), ("provider", "add", "x"), ("activity", "--limit", "0"),
        ("activity", "--limit", "x"), ("activity", "--limit", "9" * 5_000), ("reprice", "--since", "2026-13-01"),
        ("usage", "--by", "planet"), ("usage", "--by", "day,day"), ("usage", "--since", "yesterday"), ("serve", "--port", "70000"),
        ("serve", "--vault", "cloud"), ("status", "extra"), ("client", "add"),
        ("provider", "add", "x", "--kind", "a", "--key-stdin", "--no-key"),
    ],
)  # fmt: skip
def test_wrong_words_are_answered_in_one_line_with_code_2(here: Run, words: tuple[str, ...]) -> None:
    ran = here(*words)
    assert ran.code == USAGE
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("gatehouse: ")
    assert "--help" in ran.err
    assert "invalid _" not in ran.err, "the name of a function of ours"


@pytest.mark.parametrize(
    "words",
    [
        ("provider", "add", "x", "--kind", "openai", "--key", KEY),
        ("provider", "add", "x", "--kind", "openai", f"--key={KEY}"),
        ("provider", "add", "x", "--kind", "openai", f"--api-key={KEY}"),
        ("provider", "add", "x", KEY, "--kind", "openai"),
        ("provider", "key", "x", "--key", KEY),
        ("provider", "add", "x", "--kind", "openai", f"--token={KEY}"),
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(server: ControlServer, here: Run, words: tuple[str, ...]) -> None:
    ran = here(*words)
    assert ran.code == USAGE
    assert KEY not in ran.err + ran.out
    assert server.asked == []


def test_help_tells_the_exit_codes_and_every_verb(gatehouse: Run) -> None:
    ran = gatehouse("--help")
    assert ran.code == OK
    for word in ("serve", "status", "provider", "client", "activity", "usage", "audit", "shortcut", *"01234", "130"):
        assert word in ran.out
    assert "exit codes" in gatehouse("audit", "verify", "--help").out


def test_the_data_folder_may_be_named_before_or_after_the_verb() -> None:
    assert arguments.parse(["--data-dir", "/a", "--json", "status"]).data_dir == "/a"
    assert arguments.parse(["--data-dir", "/a", "status"]).json is False
    assert arguments.parse(["--json", "provider", "list"]).json is True
    assert arguments.parse(["provider", "list", "--json", "--data-dir", "/b"]).data_dir == "/b"
    assert arguments.parse(["status"]).data_dir is None


def test_help_and_a_refusal_load_nothing_heavy() -> None:
    code = (
        "import sys; from app.cli import main; main(['--help']); main(['nonsense']);"
        "print([m for m in ('msgspec', 'httpx2', 'ssl', 'asyncio', 'PySide6', 'sqlalchemy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


# -- status


def test_status_is_proven_by_the_listener_itself(server: ControlServer, here: Run) -> None:
    ran = here("status")
    assert ran.code == OK
    assert f"running, http://127.0.0.1:{server.port} (its own listener answered)" in ran.out
    facts = json.loads(here("status", "--json").out)
    assert facts["proven"] is True
    assert facts["base_url"] == f"http://127.0.0.1:{server.port}"


def test_a_listener_that_is_not_ours_is_told_apart(server: ControlServer, here: Run) -> None:
    server.lying = True
    ran = here("status")
    assert ran.code == FAILED
    assert "something else answers" in ran.out
    assert json.loads(here("status", "--json").out)["proven"] is False
    server.lying, server.listening = False, False
    ran = here("status")
    assert ran.code == FAILED
    assert "nothing answers" in ran.out


def test_status_asks_with_a_fresh_nonce_each_time(server: ControlServer, here: Run) -> None:
    here("status")
    here("status")
    nonces = [path for _, path, _ in server.asked if path.startswith("/v0/proof")]
    assert len(set(nonces)) == 2


def test_status_of_a_locked_vault_says_what_to_do_and_has_its_own_code(server: ControlServer, here: Run) -> None:
    server.vault = c.VaultView(mode="keyring", state="locked", place="GNOME Keyring", message="Unlock your keyring.")
    ran = here("status")
    assert ran.code == KEYS
    assert "locked, GNOME Keyring: Unlock your keyring." in ran.out


def test_status_does_not_follow_proxy_variables(server: ControlServer, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    assert here("status").code == OK


# -- providers and keys


def test_a_key_from_standard_input_reaches_the_vault_and_no_other_place(server: ControlServer, gatehouse: Run) -> None:
    ran = gatehouse("provider", "add", "work", "--kind", "openai", "--key-stdin", stdin=f"  {KEY}\r\n")
    assert ran.code == OK, ran.err
    assert server.keys == {"work": KEY}
    assert KEY not in ran.out + ran.err
    assert all(KEY not in path for _, path, _ in server.asked)


def test_a_key_can_be_typed_without_being_shown(server: ControlServer, folder: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "app", "provider", "add", "work", "--kind", "openai", "--data-dir", str(folder)]
    child = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True)
    os.close(theirs)
    screen = b""
    while b"Key for work: " not in screen:
        screen += os.read(ours, 1024)
    os.write(ours, KEY.encode() + b"\n")
    out = child.communicate(timeout=30)[0]
    while True:
        try:
            screen += os.read(ours, 1024)
        except OSError:
            break
    os.close(ours)
    assert child.returncode == OK
    assert server.keys == {"work": KEY}
    assert KEY.encode() not in screen + out


@pytest.mark.parametrize("stdin", ["", "\n", " \t\r\n"])
def test_an_empty_key_is_refused_before_anything_is_asked_of_the_vault(server: ControlServer, gatehouse: Run, stdin: str) -> None:
    ran = gatehouse("provider", "add", "work", "--kind", "openai", "--key-stdin", stdin=stdin)
    assert ran.code == FAILED
    assert "empty" in ran.err
    assert server.providers == {}


def test_a_key_that_is_missing_with_nobody_to_type_it_names_the_option(server: ControlServer, gatehouse: Run) -> None:
    ran = gatehouse("provider", "add", "work", "--kind", "openai", stdin="")
    assert ran.code == FAILED
    assert "--key-stdin" in ran.err
    assert server.providers == {}


def test_a_huge_or_unreadable_key_is_refused_in_one_line(server: ControlServer, folder: Path) -> None:
    for raw in (b"k" * 100_000, b"\xff\xfe" * 20):
        command = [sys.executable, "-m", "app", "provider", "add", "work", "--kind", "openai", "--key-stdin", "--data-dir", str(folder)]
        done = subprocess.run(command, input=raw, capture_output=True, check=False)
        assert done.returncode == FAILED
        assert done.stderr.count(b"\n") == 1
    assert server.providers == {}


def test_providers_are_listed_tested_given_another_key_and_removed(server: ControlServer, here: Run, gatehouse: Run) -> None:
    assert "No provider is declared yet" in here("provider", "list").out
    assert here("provider", "add", "work", "--kind", "openai", "--no-key").code == OK
    assert json.loads(here("provider", "list", "--json").out)[0]["account"]["name"] == "work"
    ran = here("provider", "test", "work")
    assert (ran.code, ran.out) == (OK, "work: Works, 2 models\n")
    listed = here("provider", "list").out.splitlines()
    assert listed[0].split() == ["NAME", "KIND", "HOST", "KEY", "LAST", "TEST", "MODELS", "TODAY"]
    assert "works" in listed[1]
    assert gatehouse("provider", "key", "work", "--key-stdin", stdin=KEY).code == OK
    assert server.keys["work"] == KEY
    assert here("provider", "remove", "work").code == OK
    assert here("provider", "remove", "work").code == FAILED


def test_a_failed_test_is_an_answer_with_code_1(server: ControlServer, here: Run) -> None:
    here("provider", "add", "work", "--kind", "openai", "--no-key")
    view = server.providers["work"]
    failed = dataclasses.replace(view.account, test_ok=False, test_message="401: the key was refused.", test_ms=80)
    server.answer("/v0/providers/work/test", 200, msgspec.json.encode(msgspec.structs.replace(view, account=failed)))
    ran = here("provider", "test", "work")
    assert (ran.code, ran.out) == (FAILED, "work: 401: the key was refused. (80 ms)\n")


def test_an_unknown_kind_is_refused_before_a_key_is_asked_for(server: ControlServer, here: Run) -> None:
    ran = here("provider", "add", "work", "--kind", "planet")
    assert ran.code == FAILED
    assert "gatehouse provider kinds" in ran.err
    assert here("provider", "kinds").out.splitlines()[1].startswith("openai")


# -- clients


def test_a_new_clients_key_alone_is_on_standard_output(server: ControlServer, here: Run) -> None:
    ran = here("client", "add", "editor")
    assert ran.code == OK
    assert ran.out == "sk-gh-" + "k" * 43 + "\n"
    assert f"http://127.0.0.1:{server.port}/v1" in ran.err
    answer = json.loads(here("client", "add", "script", "--json").out)
    assert answer["key"].startswith("sk-gh-")
    assert answer["client"]["name"] == "script"


def test_clients_are_listed_blocked_and_removed(server: ControlServer, here: Run) -> None:
    here("client", "add", "editor")
    assert here("client", "block", "editor").out == "editor is blocked.\n"
    assert "blocked" in here("client", "list").out
    assert here("client", "unblock", "editor").code == OK
    assert "allowed" in here("client", "list").out
    assert here("client", "add", "editor").code == FAILED
    assert here("client", "remove", "editor").code == OK
    assert here("client", "block", "editor").code == FAILED


# -- what happened


def test_activity_shows_the_newest_rows_newest_last(server: ControlServer, here: Run) -> None:
    server.rows = [exchange(n, model=f"m{n}") for n in range(700)]
    lines = here("activity", "--limit", "3").out.splitlines()
    assert [line.split()[3] for line in lines[1:]] == ["work/m697", "work/m698", "work/m699"]
    assert len(json.loads(here("activity", "--limit", "650", "--json").out)) == 650


def test_unpriced_is_a_word_and_never_nothing(server: ControlServer, here: Run) -> None:
    tokens = dataclasses.replace(exchange(0).tokens, input=10, output=5)
    server.rows = [exchange(0, cost_microusd=None, tokens=tokens), exchange(1, cost_microusd=None, status=401, outcome="refused")]
    lines = here("activity").out.splitlines()
    assert "unpriced" in lines[1]
    assert "unpriced" not in lines[2]
    assert "$0" not in "".join(lines)


def test_what_a_model_is_called_cannot_steer_the_terminal(server: ControlServer, here: Run) -> None:
    server.rows = [exchange(0, account="", asked="\x1b[2J\x07evil\r\nrow\u202e" + "x" * 500)]
    out = here("activity").out
    assert not set(out) & set("\x1b\x07\r\u202e")
    assert len(out.splitlines()) == 2
    assert max(map(len, out.splitlines())) < 200


def test_follow_shows_each_row_once_as_it_ends(server: ControlServer, folder: Path) -> None:
    server.rows = [exchange(1)]
    command = [sys.executable, "-u", "-m", "app", "activity", "--follow", "--json", "--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["id"].endswith("1")
        server.say(c.EventLine(seq=2, kind="exchange.closed", row=exchange(1)))
        server.say(c.EventLine(seq=3))
        server.say(c.EventLine(seq=4, kind="exchange.closed", row=exchange(2)))
        assert json.loads(child.stdout.readline())["id"].endswith("2")
        child.send_signal(2)
        assert child.wait(10) == OK
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_follow_comes_back_after_the_engine_was_revived_and_misses_no_row(server: ControlServer, folder: Path) -> None:
    command = [sys.executable, "-u", "-m", "app", "activity", "--follow", "--json", "--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        server.say(c.EventLine(seq=2, row=exchange(1)))
        assert json.loads(child.stdout.readline())["id"].endswith("1")
        server.rows = [exchange(1), exchange(2)]  # the second ended while nobody followed
        server.lines.put(None)
        assert json.loads(child.stdout.readline())["id"].endswith("2")
        child.send_signal(2)
        assert child.wait(10) == OK


def test_a_reader_that_leaves_is_not_an_error(server: ControlServer, folder: Path) -> None:
    server.rows = [exchange(n) for n in range(2000)]
    command = [sys.executable, "-m", "app", "activity", "--limit", "2000", "--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read(10)
        child.stdout.close()
        assert child.wait(20) == OK
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_usage_sums_and_keeps_unpriced_apart(server: ControlServer, here: Run) -> None:
    server.usage = [
        c.UsageRow(key=("2025-10-09", "editor"), requests=3, failed=1, input=1200, cached=5, cache_write=0, output=30, reasoning=0,
                   cost_microusd=2_500_000, unpriced=0, estimated=0),
        c.UsageRow(key=("2025-10-10", ""), requests=2, failed=0, input=7, cached=0, cache_write=0, output=3, reasoning=0,
                   cost_microusd=0, unpriced=2, estimated=1),
    ]  # fmt: skip
    lines = here("usage", "--by", "day,client").out.splitlines()
    assert lines[0].split() == ["DAY", "CLIENT", "REQUESTS", "FAILED", "INPUT", "CACHED", "OUTPUT", "COST"]
    assert lines[1].split() == ["2025-10-09", "editor", "3", "1", "1,200", "5", "30", "$2.50"]
    assert lines[2].split() == ["2025-10-10", "–", "2", "0", "~7", "~0", "~3", "unpriced"]
    assert lines[3].split() == ["all", "5", "1", "~1,207", "~5", "~33", "$2.50", "+", "2", "unpriced"]
    assert server.asked[0][1] == "/v0/usage?by=day,client"


def test_usage_days_begin_at_local_midnight(server: ControlServer, here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        here("usage", "--since", "2025-03-30", "--until", "2025-03-30")  # a day of 23 hours there
    finally:
        monkeypatch.undo()
        time.tzset()
    query = dict(part.split("=") for part in server.asked[0][1].split("?")[1].split("&"))
    assert int(query["until_us"]) - int(query["since_us"]) == 23 * 3600 * 1_000_000


def test_the_audit_log_is_listed_and_verified(server: ControlServer, here: Run) -> None:
    server.entries = [
        c.AuditEntry(seq=n, at_us=START_US, kind="client.added", actor="control", subject="editor", body={}, hash="ab" * 32)
        for n in (1, 2, 3)
    ]
    lines = here("audit", "list", "--limit", "2").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["2", "3"]
    ran = here("audit", "verify")
    assert (ran.code, ran.err) == (OK, "")
    assert ran.out.startswith("Intact: 3 entries")
    server.finding = "Entry 2 does not match its hash."
    ran = here("audit", "verify")
    assert ran.code == 1
    assert "Entry 2" in ran.out
    assert here("audit", "verify", "--json").code == 1


def test_how_far_a_verification_is_says_entries_and_rows() -> None:
    assert audit.so_far((2_089, 2_089), (350_000, 1_000_000)) == "2,089 of 2,089 entries, 350,000 of 1,000,000 rows"
    assert audit.so_far((0, 5), None) == "0 of 5 entries"


def test_the_status_says_what_was_verified_and_when_all_of_it_was(server: ControlServer, here: Run) -> None:
    verdict = c.AuditVerdict(intact=True, entries=8, seq=40, head="ab" * 32, since=32, at_us=START_US)
    known = c.AuditStatus(
        entries=40, first=1, seq=40, head="ab" * 32, size_bytes=900, sealed=40, sealed_us=START_US, epoch=3, fingerprint="361a e3d7",
        anchored=40, anchored_us=START_US, place="GNOME Keyring", worth="", verdict=verdict, full_us=START_US, full_seq=20,
        keep_days=365, on_failure="stop", groups={},
    )  # fmt: skip
    server.audit_status = known
    said = here("audit", "status").out
    assert "entries 33 to 40 since the start" in said
    assert "all of it up to entry 20" in said
    server.audit_status = msgspec.structs.replace(known, verdict=None, full_us=0, full_seq=0)
    assert "not since the start; never all of it" in here("audit", "status").out


# -- the vault and the end


def test_a_passphrase_from_standard_input_opens_the_vault(server: ControlServer, gatehouse: Run) -> None:
    server.vault = c.VaultView(mode="passphrase", state="locked", place="passphrase vault")
    server.passphrase = " correct horse "
    wrong = gatehouse("unlock", "--passphrase-stdin", stdin="correct horse\n")
    assert wrong.code == KEYS
    assert "correct horse" not in wrong.err
    assert gatehouse("unlock", "--passphrase-stdin", stdin=" correct horse \n").code == OK


def test_a_vault_that_stays_locked_is_an_error(server: ControlServer, here: Run) -> None:
    still = c.VaultView(mode="keyring", state="denied", place="GNOME Keyring", message="Access was refused.")
    server.answer("/v0/vault/unlock", 200, msgspec.json.encode(still))
    ran = here("unlock")
    assert ran.code == KEYS
    assert "Access was refused." in ran.err


def test_quit_asks_the_gateway_to_stop(server: ControlServer, here: Run) -> None:
    assert here("quit").code == OK
    assert server.quitted.is_set()


# -- errors


def test_a_refusal_is_one_line_and_as_json_still_one_line(server: ControlServer, here: Run) -> None:
    ran = here("provider", "test", "nobody")
    assert (ran.code, ran.out) == (FAILED, "")
    assert ran.err == "gatehouse: There is no provider called 'nobody'. See: gatehouse provider list\n"
    error = json.loads(here("provider", "test", "nobody", "--json").err)["error"]
    assert error["code"] == "unknown_name"


def test_an_error_of_ours_is_one_line_without_a_trace_or_what_was_typed(
    server: ControlServer, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        encoding = "utf-8"

        def write(self, text: str) -> int:
            raise RuntimeError(f"secret {KEY}")

        def flush(self) -> None:
            return

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Broken())
        ran = here("provider", "list")
    assert ran.code == FAILED
    assert ran.err.count("\n") == 1
    assert "RuntimeError" in ran.err
    assert KEY not in ran.err
    assert "Traceback" not in ran.err


def test_a_terminal_that_cannot_show_a_letter_is_not_an_error(server: ControlServer, folder: Path) -> None:
    server.rows = [exchange(0, account="", asked="模型")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "app", "activity", "--data-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (OK, "")
