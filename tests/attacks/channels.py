"""C: the control channel, from the account that owns it."""

from __future__ import annotations

import json
import os
import random
import stat
from pathlib import Path

from tests.attacks import wire
from tests.attacks.judge import every
from tests.attacks.registry import NOT_PROMISED, OTHERS, Seen, attack
from tests.attacks.stage import Stage


@attack("C1", "prune the audit log up to numbers that no log has", promise=NOT_PROMISED, expected="400, no trace in the log")
def prune(stage: Stage) -> Seen:
    """A number too large for the database must be refused by the contract, not by the database."""
    rows = []
    for upto in ("99999999999999999999", str(2**63), str(2**63 - 1), str(2**64), "-1", str(-(2**70)), "1e30", "1.5", '"1"', "null", "true"):
        status = stage.gateway.control("POST", "/v0/audit/prune", f'{{"upto": {upto}}}'.encode()).status
        rows.append((upto, status in (200, 400, 409, 422), str(status)))
    for query in ("keep_days=99999999999999999999", "keep_days=-1", "keep_days=x", f"keep_days={10**17}"):
        status = stage.gateway.control("GET", f"/v0/audit/prune?{query}").status
        rows.append((query, status in (200, 400, 422), str(status)))
    return every(rows, "numbers")


@attack("C2", "600 odd requests on the control channel", promise=NOT_PROMISED, expected="no 500; it goes on")
def odd_requests(stage: Stage) -> Seen:
    """Every path of the contract with bodies of the wrong shape and size, in an order that the seed fixes."""
    rng = random.Random(20)
    paths = [
        "/v0/providers", "/v0/clients", "/v0/audit/prune", "/v0/audit/policy", "/v0/retention", "/v0/prices", "/v0/unlock", "/v0/reprice",
        "/v0/providers/oa/key", "/v0/providers/%00/key", "/v0/clients/x/block", "/v0/clients/attacker/identifiers", "/v0/activity?limit=-1",
        "/v0/activity?limit=99999999999999999999", "/v0/activity?before=x", "/v0/audit?limit=0&before=99999999999999999", "/v0/usage?by=x",
        "/v0/usage?since_us=99999999999999999999", "/v0/export?form=x", "/v0/audit/0", "/v0/audit/99999999999999999999", "/v0/%ff", "/v0//",
    ]  # fmt: skip
    values = [
        b"", b"null", b"[]", b"{}", b'{"name": 1}', b'{"name": "\\u0000", "kind": "openai"}', b'{"name": "' + b"n" * 10_000 + b'"}',
        b'{"days": 99999999999999999999}', b'{"keep_days": -1}', b'{"since_us": 1e400}',
        b'{"since_us": 99999999999999999999, "until_us": 1}',
        b'{"key": ""}', b'{"key": "a\\nb"}', b"\xff\xfe", b"[" * 5_000, b'{"choice": "x"}', b'{"upto": {}}', b'{"passphrase": "wrong"}',
    ]  # fmt: skip
    bad = []
    for _ in range(200 if stage.short else 600):
        method, path, body = rng.choice(("POST", "PUT", "GET", "DELETE")), rng.choice(paths), rng.choice(values)
        if method == "DELETE" and path in ("/v0/providers/oa", "/v0/clients"):
            continue
        status = stage.gateway.control(method, path, None if method == "GET" else body).status
        if status >= 500 and status != 503:
            bad.append((f"{method} {path} {body[:40]!r}", False, str(status)))
    state = stage.gateway.json("status").get("state", "no answer")
    return every([*bad, ("the requests", True, ""), ("afterwards", state == "running", state)], "measures")


@attack("C3", "the control channel asked as a page would ask", promise=OTHERS, expected="refused")
def as_a_page(stage: Stage) -> Seen:
    """It is no web server, but a page that found a way to it must get nothing either."""
    rows = []
    for name, headers in (("Origin", [("Origin", "null")]), ("two Hosts", [("Host", "x")])):
        rows.append((name, stage.gateway.control("GET", "/v0/snapshot", headers=headers).status in (400, 403), "answered"))
    others = ("/v1/models", "/snapshot", "/")
    rows += [(path, stage.gateway.control("GET", path).status in (400, 404), "answered") for path in others]
    status = wire.ask(stage.port, "GET", "/v0/snapshot", key=stage.key).status
    return every([*rows, ("control on the port of clients", status in (401, 404), str(status))], "ways")


@attack("C4", "started with umask 000", promise=OTHERS, expected="folders 0700, files 0600")
def umask(stage: Stage) -> Seen:
    """Modes must be set, not inherited from whoever starts the program."""
    one = stage.other("passphrase")
    one.start(umask=0)
    try:
        one.cli("client", "add", "x")
        export = one.folder / "export.csv"
        one.cli("export", str(export))
        wide = []
        for base in (one.data, one.folder / "run", one.folder / "tmp"):
            for path in base.rglob("*"):
                mode = stat.S_IMODE(path.lstat().st_mode)
                if mode & 0o077 and not path.is_symlink():
                    wide.append((path.name, False, oct(mode)))
        rows = [("data folder", stat.S_IMODE(one.data.stat().st_mode) & 0o077 == 0, oct(one.data.stat().st_mode))]
        return every([*rows, ("export", stat.S_IMODE(export.stat().st_mode) & 0o077 == 0, oct(export.stat().st_mode)), *wide], "places")
    finally:
        one.stop()


@attack("C5", "a second start, and a stranger on the port", promise=NOT_PROMISED, expected="3 and who it is; another port, said")
def second(stage: Stage) -> Seen:
    """Two gateways on one data folder would spoil it; a stranger's listener must not be taken for ours."""
    again = stage.gateway.cli("serve", "--port", "0", "--vault", "session", check=False, timeout_s=30)
    one = stage.other()
    with wire.socket.create_server((wire.HOST, 0)) as stranger:
        taken = stranger.getsockname()[1]
        try:
            one.start(port=taken)
            elsewhere = (one.port != taken, f"port {one.port}")
        except RuntimeError as error:
            elsewhere = (str(taken) in str(error), str(error)[:80])
        finally:
            one.stop()
    return every([("again", again.returncode == 3, f"{again.returncode} {again.stderr[:80]}"), ("taken port", *elsewhere)], "starts")


@attack("C6", "an export onto links that somebody planted", promise=OTHERS, expected="refused, nothing written through them")
def export_links(stage: Stage) -> Seen:
    """FILE, FILE.part and the folder of an audit export, each a link to something precious."""
    place = stage.folder / "planted"
    place.mkdir(exist_ok=True)
    precious = place / "precious"
    rows = []
    for name, link, words in (
        ("FILE", "a.csv", ("export", str(place / "a.csv"))),
        ("FILE.part", "b.csv.part", ("export", str(place / "b.csv"))),
        ("dangling", "c.csv", ("export", str(place / "c.csv"))),
        ("FOLDER", "d", ("audit", "export", str(place / "d"))),
    ):
        precious.write_text("precious")
        elsewhere = place / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        (place / link).symlink_to({"FOLDER": elsewhere, "dangling": place / "nothing"}.get(name, precious))
        done = stage.gateway.cli(*words, check=False)
        whole = precious.read_text() == "precious" and not list(elsewhere.iterdir()) and not (place / "nothing").exists()
        rows.append((name, whole, f"written through it, exit {done.returncode}"))
    return every(rows, "links")


@attack("C7", "links in an open folder that becomes the data folder", promise=NOT_PROMISED, expected="refused, or not followed")
def planted_links(stage: Stage) -> Seen:
    """--data-dir names a folder that others could write: each name that the gateway writes to is a link to a precious place."""
    rows = []
    names = ("logs", "engine", "journal", "window", "gatehouse.db", "gatehouse.db-wal", "vault.json", "lock", "control.json")
    for name in names[:2] if stage.short else names:
        one = stage.other("passphrase")
        one.data.mkdir(mode=0o777)
        one.data.chmod(0o777)
        precious = one.folder / "precious"
        if name in ("logs", "engine", "journal", "window"):
            precious.mkdir()
        else:
            precious.write_text("")
        (one.data / name).symlink_to(precious)
        if os.getuid() == 0:
            os.chown(one.data / name, 61_234, 61_234, follow_symlinks=False)
        try:
            one.start(open_s=5)
            said = "started"
        except RuntimeError as error:
            said = str(error)
        finally:
            one.stop()
        written = _holds(precious)
        rows.append((name, not written, f"{written} written through the link; {said[:60]}"))
    return every(rows, "links")


def _holds(place: Path) -> str:
    if place.is_dir():
        return ", ".join(sorted(path.name for path in place.iterdir()))
    return f"{place.stat().st_size} bytes" if place.stat().st_size else ""


@attack("C8", "names with line breaks, dots, control and bidirectional characters", promise=NOT_PROMISED, expected="refused")
def names(stage: Stage) -> Seen:
    """Names of clients and accounts end up in terminals, file names and tables."""
    rows = []
    for name in ("a\r\nb", "..", "../x", "a/b", "\x1b[2J", "a\u202eb", "", " ", "n" * 300, "=cmd()", "a\0b"):
        for path, body in (("/v0/clients", {"name": name}), ("/v0/providers", {"name": name, "kind": "openai", "key": "k"})):
            status = stage.gateway.control("POST", path, json.dumps(body).encode()).status
            rows.append((f"{path} {name[:8]!r}", status in (400, 409, 422), str(status)))
    return every(rows, "names")


@attack("C9", "data and runtime folders that were left open to everybody", promise=OTHERS, expected="closed to 0700, or refused")
def wide_folders(stage: Stage) -> Seen:
    """A restored backup or a careless chmod: the folders are there before the start, with all rights for all."""
    one = stage.other()
    upper = one.folder / "run" / "gatehouse"
    for place in (one.data, upper):
        place.mkdir()
        place.chmod(0o777)
    try:
        one.start()
        places = [one.data, upper, one.socket().parent, one.socket()]
        modes = [(place.name, stat.S_IMODE(place.stat().st_mode)) for place in places if place.exists()]
        return every([(name, mode & 0o077 == 0, oct(mode)) for name, mode in modes], "places")
    except RuntimeError as error:
        return Seen(True, f"refused: {error}"[:120])
    finally:
        one.stop()
