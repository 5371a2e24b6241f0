"""D: what is left on the disk, in environments and on command lines."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.attacks import wire
from tests.attacks.judge import every, found_in
from tests.attacks.processes import family
from tests.attacks.registry import KEYS, Seen, Skip, attack
from tests.attacks.stage import Gateway, Stage, random_key
from tests.attacks.upstream import error


@attack("D20", "canaries in files, logs, journal, environments and command lines", promise=KEYS, expected="none, in any writing")
def canaries(stage: Stage) -> Seen:
    """Two provider keys, a client's key, a passphrase, a prompt and a reply, looked for plain and in four other writings: while the gateway
    runs, after a key was replaced and removed, and after it has stopped. The environment it was started with asks for key logs."""
    one, upstream = stage.other("passphrase"), stage.upstreams["oa"]
    log = one.folder / "tls-keys"
    secrets = {"key": random_key("sk-proj-"), "second key": random_key("sk-ant-"), "third key": random_key(""),
               "passphrase": one.passphrase,                "prompt": random_key("prompt "), "reply": random_key("reply ")}  # fmt: skip
    one.start(SSLKEYLOGFILE=str(log), PYTHONFAULTHANDLER="1", PYTHONDEVMODE="1", HTTPS_PROXY="http://127.0.0.1:9")
    rows: list[tuple[str, bool, str]] = []
    try:
        url = f"http://{wire.HOST}:{upstream.port}/v1"
        for name, key in (("p", "key"), ("q", "second key")):
            one.cli(
                "provider",
                "add",
                name,
                "--kind",
                "openai-compatible",
                "--base-url",
                url,
                "--local",
                "--key-stdin",
                stdin=secrets[key] + "\n",
            )
        client = one.cli("client", "add", "x").stdout.strip()
        secrets["client's key"] = client
        upstream.answer = lambda _: [error(400, f"{secrets['reply']} {secrets['key']}")]
        for model in ("p/m", "q/m"):
            wire.ask(one.port, "POST", "/v1/chat/completions", wire.chat(model, secrets["prompt"]), key=client)
        wire.ask(one.port, "POST", "/v1/chat/completions", wire.chat("gatehouse/echo", secrets["prompt"]), key=client)
        one.cli("unlock", "--passphrase-stdin", stdin=random_key("wrong ") + "\n", check=False)
        rows += _look("running", one.folder, secrets)
        rows += _processes(one.pid, secrets)
        one.cli("provider", "key", "p", "--key-stdin", stdin=secrets["third key"] + "\n")
        one.cli("provider", "remove", "q")
        rows += _look("after a key was replaced", one.folder, secrets)
    finally:
        one.stop()
    rows += _look("stopped", one.folder, secrets)
    return every([*rows, ("key log", not log.exists(), "was written")], "places")


def _look(when: str, folder: Path, secrets: dict[str, str]) -> list[tuple[str, bool, str]]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name != "passphrase":
            data = path.read_bytes()
            for name, secret in secrets.items():
                found += [(f"{when}: {path.name}", False, f"{name}, {way}") for way in found_in(data, secret)]
    return [*found, (when, True, "")]


def _processes(first: int, secrets: dict[str, str]) -> list[tuple[str, bool, str]]:
    if not Path("/proc/self").exists():
        return []
    found = []
    for pid in family(first):
        for part in ("cmdline", "environ"):
            try:
                data = Path(f"/proc/{pid}/{part}").read_bytes()
            except OSError:  # hidden from this user, which is as good
                continue
            found += [(f"{part} of {pid}", name not in _named(data, secrets), name) for name in secrets]
            if part == "environ" and pid != first:
                found.append((f"environment of {pid}", b"SSLKEYLOGFILE" not in data and b"HTTPS_PROXY" not in data, "was handed on"))
    return found


def _named(data: bytes, secrets: dict[str, str]) -> set[str]:
    return {name for name, secret in secrets.items() if found_in(data, secret)}


@attack(
    "D21",
    "a vault file whose work factor, salt or items were changed",
    promise=KEYS,
    expected="refused; never opened more cheaply",
    short=False,
)
def vault(stage: Stage) -> Seen:
    """A weaker derivation would let a later guess of the passphrase cost little; a huge one would take the memory of the machine."""
    one = stage.other("passphrase")
    one.start()
    one.stop()
    path = one.data / "vault.json"
    if not path.exists():
        raise Skip("this installation keeps no vault.json")
    whole = path.read_text()
    rows = []
    for name, changed in _changed(json.loads(whole)):
        path.write_text(json.dumps(changed))
        try:
            one.start(open_s=0)
            state = settled(one)
            rows.append((name, state != "ready", f"started, vault {state}"))
        except RuntimeError:
            rows.append((name, True, "refused"))
        finally:
            one.stop()
    path.write_text(whole)
    return every(rows, "changes")


def settled(one: Gateway) -> str:
    """The state of the vault, once it has been asked."""
    end, state = time.monotonic() + 4, ""
    while state in ("", "opening", "unasked") and time.monotonic() < end:
        vault = one.json("status").get("vault", {})
        state = "" if vault.get("message") == "Not asked yet." else str(vault.get("state", ""))
        time.sleep(0.2)
    return state


def _changed(vault: dict[str, object]) -> list[tuple[str, object]]:
    """Each number of the file, however deep, made 1, 0 and huge; each text cut by one character."""
    found: list[tuple[str, object]] = []
    text = json.dumps(vault)

    def walk(value: object, path: list[str]) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, [*path, name])
        elif isinstance(value, int) and not isinstance(value, bool) and "version" not in path[-1]:
            found.extend((f"{'.'.join(path)} = {other}", _put(json.loads(text), path, other)) for other in (1, 2**40))
        elif isinstance(value, str) and len(value) > 8 and "salt" in path[-1]:
            found.append((f"{'.'.join(path)} changed", _put(json.loads(text), path, ("A" if value[0] != "A" else "B") + value[1:])))

    walk(vault, [])
    return found


def _put(whole: dict[str, object], path: list[str], value: object) -> object:
    place: object = whole
    for name in path[:-1]:
        place = place[name]  # type: ignore[index]
    place[path[-1]] = value  # type: ignore[index]
    return whole
