"""Who is at the other end: nothing is said to another user's process, and nothing that it says is read, on every local channel."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.system.places import find
from tests.strangers import (
    PERSON,
    PRELUDE,
    ROOT,
    STRANGER,
    Listener,
    bare_environment,
    command_as,
    common_ground,
    is_root,
    needs_root,
    run_as,
)

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="unix sockets and users' numbers"), needs_root]

KEY = "sk-proj-CANARY-0123456789"
VERBS = {
    "status": (("status",), ""),
    "provider add": (("provider", "add", "work", "--kind", "openai", "--key-stdin"), f"{KEY}\n"),
    "client add": (("client", "add", "editor"), ""),
    "unlock": (("unlock",), "my vault passphrase\n"),
}
# What another user may have made at the name where the sockets' folder would be: {root} is `gatehouse-UID`, {place} the folder in it.
SHAPES = {
    "a link to the common folder": """
become(STRANGER)
os.mkdir(root); os.chmod(root, 0o755); os.symlink(ground, place)
listener = listen(ground + "/control.sock")""",
    "a link instead of both": """
become(STRANGER)
os.mkdir(ground + "/trap"); os.chmod(ground + "/trap", 0o755); os.mkdir(ground + "/trap/" + os.path.basename(place))
os.symlink(ground + "/trap", root)
listener = listen(place + "/control.sock")""",
    "a plain folder": """
become(STRANGER)
os.makedirs(place); os.chmod(root, 0o755); os.chmod(place, 0o755)
listener = listen(place + "/control.sock")""",
    "a folder open to all": """
become(STRANGER)
os.makedirs(place); os.chmod(root, 0o777); os.chmod(place, 0o777)
listener = listen(place + "/control.sock")""",
    "a folder of root": """
os.makedirs(place); os.chmod(root, 0o755); os.chmod(place, 0o755)
listener = listen(place + "/control.sock")""",
    "a folder of ours that all can write to": """
os.makedirs(place); os.chmod(root, 0o777); os.chmod(place, 0o777); os.chown(root, VICTIM, VICTIM); os.chown(place, VICTIM, VICTIM)
become(STRANGER)
listener = listen(place + "/control.sock")""",
    "a folder of ours in one of theirs": """
os.makedirs(place); os.chmod(root, 0o755); os.chmod(place, 0o700); os.chown(root, STRANGER, STRANGER); os.chown(place, VICTIM, VICTIM)
listener = listen(place + "/control.sock", lambda: os.seteuid(STRANGER))""",
    "a private folder of ours, another user's listener": """
os.makedirs(place)
for each in (root, place):
    os.chmod(each, 0o700); os.chown(each, VICTIM, VICTIM)
def give():
    os.chown(place + "/control.sock", VICTIM, VICTIM); os.setegid(STRANGER); os.seteuid(STRANGER)
listener = listen(place + "/control.sock", give)""",
    "a private folder of ours, a listener of root": """
os.makedirs(place)
for each in (root, place):
    os.chmod(each, 0o700); os.chown(each, VICTIM, VICTIM)
listener = listen(place + "/control.sock", lambda: os.chown(place + "/control.sock", VICTIM, VICTIM))""",
}
TRAPS = [(PERSON, shape) for shape in SHAPES] + [(0, shape) for shape in SHAPES if "of root" not in shape]


@pytest.fixture
def ground() -> Iterator[Path]:
    with common_ground() as folder:
        yield folder


def planted(ground: Path, data: Path, shape: str, victim: int) -> tuple[Listener, Path]:
    """The trap, and the control socket in it."""
    digest = find(data, data / "lock").name if is_root else ""
    root = ground / f"gatehouse-{victim}"
    names = {"ground": str(ground), "root": str(root), "place": str(root / digest), "STRANGER": STRANGER, "VICTIM": victim}
    script = "\n".join(f"{name} = {value!r}" for name, value in names.items())
    return Listener(f"{script}\n{SHAPES[shape]}"), root / digest / "control.sock"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("victim", "shape"), TRAPS)
def test_no_verb_says_anything_to_a_listener_that_another_user_planted(
    ground: Path, monkeypatch: pytest.MonkeyPatch, victim: int, shape: str, verb: str
) -> None:
    """The victim has no session folder, and never started Gatehouse: nothing says where its sockets would be but the list of places."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("TMPDIR", str(ground))
    data = ground / "home" / "data"
    data.parent.mkdir(mode=0o755)
    data.mkdir(mode=0o700)
    os.chown(data, victim, victim)
    words, typed = VERBS[verb]
    listener, _ = planted(ground, data, shape, victim)
    with listener:
        code, out, err = command_as(victim, *words, "--data-dir", str(data), environment={"TMPDIR": str(ground)}, stdin=typed)
        seen = listener.seen()
    assert seen["bytes"] == 0, (out, err)
    assert code in (1, 3), (out, err)
    assert not out
    assert KEY not in err
    assert err.startswith("gatehouse: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("victim", "shape"), TRAPS)
def test_a_client_that_is_led_to_a_trap_by_its_path_refuses_before_a_byte(
    ground: Path, monkeypatch: pytest.MonkeyPatch, victim: int, shape: str
) -> None:
    """As a window, or a command that found the place in a lock's file."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("TMPDIR", str(ground))
    listener, control = planted(ground, ground / "data", shape, victim)
    script = """
try:
    with ControlClient(Path(sys.argv[1])) as client:
        from app.control.contract import NewProvider
        client.add_provider(NewProvider(name="work", kind="openai", key=sys.argv[2]))
except AppError as error:
    print(error.code, error.sentence())
"""
    with listener:
        said = run_as(victim, script, str(control), KEY)
        seen = listener.seen()
    assert said.startswith("peer_not_allowed "), said
    assert "Nothing was sent" in said
    assert seen["bytes"] == 0


@pytest.mark.parametrize("asker", [STRANGER, 0])
def test_an_instance_answers_neither_another_user_nor_root(ground: Path, asker: int) -> None:
    """The folders are opened by hand: only the kernel's word on the asker is left."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _holder(PERSON), str(ground)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": str(ground)},
    )  # fmt: skip
    assert holder.stdout is not None
    place = Path(holder.stdout.readline().strip())
    try:
        for level in (place.parent, place):
            level.chmod(0o755)
        (place / "instance.sock").chmod(0o666)
        script = """
with socket.socket(socket.AF_UNIX) as asked:
    asked.settimeout(10)
    asked.connect(sys.argv[1])
    try:
        asked.sendall(b'{"op": "show", "nonce": "n"}\\n')
        print(asked.recv(1000))
    except OSError as error:
        print(b"")
"""
        assert run_as(asker, script, str(place / "instance.sock")).strip() == "b''"
        for level in (place.parent, place):
            level.chmod(0o700)
        own = run_as(PERSON, script.replace("print(asked", "print(1, asked"), str(place / "instance.sock"))
        assert own.startswith("1 b'{"), "its own user is answered"
    finally:
        holder.communicate()


def _holder(uid: int) -> str:
    return f"""{PRELUDE}
become({uid})
folder = Path(sys.argv[1]) / "own"
folder.mkdir(mode=0o700)
made = paths.Paths(folder / "data")
made.prepare()
held = instance.acquire(made, {{"op": "ping"}})
held.serve(lambda question: {{"said": "hello"}})
held.record([], None)
print(made.runtime, flush=True)
sys.stdin.read()
held.close()
os._exit(0)
"""


@pytest.mark.parametrize("how", ["another user's listener", "root's listener", "a folder open to all", "a link of theirs"])
def test_a_second_launch_asks_no_stranger_and_tells_no_token(ground: Path, how: str) -> None:
    """The recorded socket is somebody else's: what is asked there would hold the token of the lock, and where the display is."""
    listening = {"root's listener": 0}.get(how, STRANGER)
    mode = 0o777 if how == "a folder open to all" else 0o700
    place, shown = ground / "place", ground / "place"
    script = f"""
os.mkdir({str(place)!r}); os.chmod({str(place)!r}, {mode}); os.chown({str(place)!r}, {PERSON}, {PERSON})
def give():
    os.chown({str(place / "instance.sock")!r}, {PERSON}, {PERSON})
    os.setegid({listening}); os.seteuid({listening})
listener = listen({str(place / "instance.sock")!r}, give)
"""
    if how == "a link of theirs":
        shown = ground / "link"
        script += f"os.seteuid(0); os.seteuid({STRANGER}); os.symlink({str(place)!r}, {str(shown)!r})"
    with Listener(script) as listener:
        facts = {"instance": str(shown / "instance.sock"), "token": "t" * 32, "pid": 1}
        said = run_as(PERSON, "print(instance._ping(json.loads(sys.argv[1]), {'op': 'show', 'display': {'X': 'y'}}))", json.dumps(facts))
        seen = listener.seen()
    assert said.strip() == "None"
    assert seen["bytes"] == 0


@pytest.mark.parametrize(("listening", "asking"), [(PERSON, STRANGER), (PERSON, 0), (0, PERSON), (PERSON, PERSON), (0, 0)])
def test_either_end_knows_the_other_and_root_counts_only_for_root(ground: Path, listening: int, asking: int) -> None:
    path = ground / "s.sock"
    script = f"""
become({listening})
listener = socket.socket(socket.AF_UNIX)
listener.bind({str(path)!r})
os.chmod({str(path)!r}, 0o777)
listener.listen()
print("ready", flush=True)
client, _ = listener.accept()
print(peers.same_user(client), peers.uid_of(client), flush=True)
client.recv(1)
os._exit(0)
"""
    server = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=bare_environment(None)
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    ask = "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(peers.same_user(s), peers.uid_of(s))"
    assert run_as(asking, ask, str(path)).strip() == f"{listening == asking} {listening}"
    assert server.communicate()[0].strip() == f"{listening == asking} {asking}"


def test_the_one_who_stands_in_for_the_engine_reads_nothing_from_a_stranger(ground: Path) -> None:
    """It speaks for the control channel while no engine runs; who is asked for a passphrase there is told nothing."""
    from app.keeper import stand_in
    from app.keeper.stand_in import StandIn
    from app.keeper.workers import Workers

    path = ground / "control.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        path.chmod(0o777)
        listener.listen()
        standing = StandIn([listener], ["control"], Workers(), stand_in.FAILED)
        ask = """
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])
try:
    s.sendall(b"POST /v0/vault/unlock HTTP/1.1\\r\\nhost: gatehouse\\r\\n\\r\\n")
    print(s.recv(15))
except OSError:
    print(b"")
"""
        try:
            assert run_as(STRANGER, ask, str(path)).strip() == "b''"
            assert run_as(0, ask, str(path)).strip() == "b'HTTP/1.1 503 Se'"
        finally:
            standing.stop()
