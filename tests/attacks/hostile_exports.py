"""E: exports that are not what they say: links, devices, depth, numbers, mutations. Each must end in a verdict, and never in intact."""

from __future__ import annotations

import json
import os
import random

from tests.attacks.exports import export, fingerprint, verify
from tests.attacks.judge import every
from tests.attacks.registry import EXPORTS, Seen, attack
from tests.attacks.stage import Stage

WHAT = ("/dev/zero", "/etc/passwd", "/dev/stdin", "pipe", "folder", "missing", "itself")
FILES = ("entries.jsonl", "checkpoints.jsonl", "manifest.json")


@attack(
    "E20", "links to /dev/zero and /etc/passwd, a pipe, a folder, a missing file", promise=EXPORTS, expected="1, 2 or 3, within seconds"
)
def links(stage: Stage) -> Seen:
    """A verifier that opens whatever it is given waits for ever at a pipe and reads for ever from a device."""
    rows = []
    for name in FILES[:1] if stage.short else FILES:
        for what in ("/dev/zero", "pipe", "missing") if stage.short else WHAT:
            place = export(stage, "links")
            path = place / name
            path.unlink()
            if what == "pipe":
                os.mkfifo(path)
            elif what == "folder":
                path.mkdir()
            elif what == "itself":
                path.symlink_to(name)
            elif what != "missing":
                path.symlink_to(what)
            code, said, _ = verify(stage, place, seconds=20)
            rows.append((f"{name}: {what}", code in (1, 2, 3) and "Traceback" not in said, f"{code} {said[:50]}"))
    return every(rows, "links")


def _odd(whole: bytes) -> dict[str, bytes]:
    line = whole.splitlines(keepends=True)[-1]
    inner = line.rstrip()[:-1]
    return {
        "empty": b"",
        "depth 200,000": whole + b"[" * 200_000 + b"]" * 200_000 + b"\n",
        "NaN": whole + inner + b',"x":NaN}\n',
        "a million digits": whole + inner + b',"x":' + b"9" * 1_000_000 + b"}\n",
        "lone surrogate": whole + inner + b',"x":"\\ud800"}\n',
        "bad UTF-8": whole + b"\xff\xfe\n",
        "a line of 100 MB": whole + b'{"x":"' + b"a" * (100 << 20) + b'"}\n',
        "3 million lines": whole + b"{}\n" * 3_000_000,
        "last line twice": whole + line,
        "first line gone": whole.partition(b"\n")[2],
        "last line gone": whole[: -len(line)],
        "number 10 to the 19th": whole.replace(b'"seq":1,', b'"seq":10000000000000000000,', 1) + b"",
        "member twice": whole[: -len(line)] + inner + b',"seq":1}\n',
        "carriage returns": whole.replace(b"\n", b"\r\n"),
    }


@attack("E21", "odd contents of each file", promise=EXPORTS, expected="1, 2 or 3, no trace", short=False)
def contents(stage: Stage) -> Seen:
    """Everything a reader of JSON lines can choke on, in entries, checkpoints and manifest."""
    rows = []
    for name in FILES:
        whole = (export(stage, "odd") / name).read_bytes()
        for what, data in _odd(whole).items():
            if data == whole:
                continue
            place = export(stage, "odd")
            (place / name).write_bytes(data)
            code, said, _ = verify(stage, place, "--key", fingerprint(stage), seconds=60)
            rows.append((f"{name}: {what}", code in (1, 2, 3) and "Traceback" not in said, f"{code} {said[:50]}"))
    return every(rows, "contents")


@attack("E22", "a manifest that names files elsewhere", promise=EXPORTS, expected="1, 2 or 3; nothing outside is read")
def elsewhere(stage: Stage) -> Seen:
    """Names with ../, absolute names, names of devices, numbers for names."""
    rows = []
    names = ("../../../../etc/passwd", "/dev/zero", "a\0b", 7, None, "", ".", "/etc/passwd", "n" * 100_000)
    for name in names[:3] if stage.short else names:
        place = export(stage, "elsewhere")
        text = (place / "manifest.json").read_text()
        (place / "manifest.json").write_text(
            text.replace('"entries.jsonl"', json.dumps(name)).replace('\\"entries.jsonl\\"', json.dumps(json.dumps(name))[1:-1])
        )
        code, said, _ = verify(stage, place, seconds=20)
        rows.append((str(name)[:30], code in (1, 2, 3) and "root:" not in said and "Traceback" not in said, f"{code} {said[:50]}"))
    return every(rows, "names")


def mutated(whole: bytes, rng: random.Random) -> bytes:
    """One change: a bit, a byte, a cut, a line moved, doubled or removed."""
    at = rng.randrange(len(whole))
    lines = whole.splitlines(keepends=True)
    pick = rng.randrange(len(lines))
    return rng.choice((
        lambda: whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :],
        lambda: whole[:at] + bytes([rng.randrange(256)]) + whole[at:],
        lambda: whole[:at] + whole[at + 1 :],
        lambda: whole[:at],
        lambda: b"".join(lines[:pick] + lines[pick + 1 :]),
        lambda: b"".join([*lines, lines[pick]]),
        lambda: b"".join(sorted(lines, key=lambda _: rng.random())),
    ))()  # fmt: skip


@attack("E23", "random changes to a signed export, checked with its fingerprint", promise=EXPORTS, expected="never intact, never a trace")
def mutations(stage: Stage) -> Seen:
    """One change each, from a fixed seed; only what changes nothing may be called intact."""
    rng, rows, pin = random.Random(7), [], fingerprint(stage)
    for number in range(4 if stage.short else 80):
        place = export(stage, "mutated")
        name = rng.choice((*FILES, "README.txt", "verify.py"))
        whole = (place / name).read_bytes()
        changed = mutated(whole, rng)
        (place / name).write_bytes(changed)
        code, said, _ = verify(stage, place, "--key", pin, seconds=40)
        fine = (code in (1, 2, 3) or changed == whole) and "Traceback" not in said
        rows.append((f"change {number} of {name}", fine, f"{code} {said[:50]}"))
    return every(rows, "changes")
