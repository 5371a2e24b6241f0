"""The audit log as files that can be checked without Gatehouse (`app.verifier` says what they hold)."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app import verifier
from app.core import chain
from app.core.errors import AppError
from app.store import audit, checkpoints, disk
from app.store.sealing import Signer

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

VERIFIER_FILE: Final = "verify.py"
README_FILE: Final = "README.txt"
_LARGEST: Final = (1 << 63) - 1
_README: Final = """\
This is an audit log of Gatehouse. Check it with Python 3.11 or newer and the package "cryptography":

    python -I verify.py --key "FINGERPRINT"

FINGERPRINT is the one that the owner of the log reads off the Audit page: ask them, and do not take it from this folder. The exit code
is 0 for intact, 1 for tampered, 2 for incomplete, 3 for bad input. Without --key it is 2 at best, because anybody can make a log that is
whole under a key of their own. With -I Python imports nothing that lies in this folder; verify.py is short enough to be read first, and
needs nothing else. With Gatehouse at hand, "gatehouse verify FOLDER --key FINGERPRINT" does the same with a copy of verify.py that did
not come with the export.

    entries.jsonl       one entry a line, oldest first
    checkpoints.jsonl   what was signed over them
    manifest.json       these files with their sizes and digests, signed; what else lies here is not part of the export
"""


def write(connection: Connection, folder: Path, signer: Signer | None, at_us: int, version: str) -> tuple[int, int, int]:
    """Make `folder` with the whole log in it; how many entries, up to which number, how many bytes. Needs one unchanging read.

    Without a signer the export is not signed, and the verifier says so. AppError data_folder when the folder is there already or cannot
    be made; store_unavailable when the disk is full. What was begun is removed then.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise AppError("data_folder", f"{folder.name} is there already.", "Name a folder that does not exist yet.") from None
    except OSError as error:
        raise disk.refused(folder, error) from error
    try:
        return _write(connection, folder, signer, at_us, version)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise disk.refused(folder, error) from error
        raise


def _write(connection: Connection, folder: Path, signer: Signer | None, at_us: int, version: str) -> tuple[int, int, int]:
    seq, head = audit.newest_link(connection)
    newest = checkpoints.newest(connection)
    files: dict[str, object] = {}
    entries, size = _file(folder / verifier.ENTRIES_FILE, map(_entry, audit.links(connection)), files)
    size += _file(folder / verifier.RECORDS_FILE, (_signed(*row) for row in checkpoints.rows(connection)), files)[1]
    size += _file(folder / VERIFIER_FILE, (Path(verifier.__file__).read_bytes(),), files)[1]
    size += _file(folder / README_FILE, (_README.encode(),), files)[1]
    manifest = chain.canonical(
        {
            "kind": "export",
            "log": newest.log if newest is not None else "",
            "number": newest.number if newest is not None else -1,
            "seq": seq,
            "head": head.hex(),
            "at_us": at_us,
            "version": version,
            "files": files,
        }
    )
    signature = b"" if signer is None else signer.sign(verifier.EXPORT, manifest)
    size += _file(folder / verifier.MANIFEST_FILE, (_signed(manifest, signature),), files)[1]
    disk.sync_folder(folder)
    return entries, seq, size


def _file(path: Path, lines: Iterable[bytes], files: dict[str, object]) -> tuple[int, int]:
    """Write the lines; how many, and how many bytes."""
    digest, count, size = hashlib.sha256(), 0, 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", 1 << 20) as file:
        for line in lines:
            file.write(line)
            digest.update(line)
            count += 1
            size += len(line)
        file.flush()
        os.fsync(file.fileno())
    files[path.name] = {"bytes": size, "sha256": digest.hexdigest()}
    return count, size


def _entry(row: tuple[Any, Any, Any]) -> bytes:
    """A line of an entry; one that somebody made into something else goes out as the bytes it is now."""
    seq, body, said = row
    if type(seq) is int and type(body) is bytes and type(said) is bytes and len(said) == 32 and _is_line(body) and 0 <= seq <= _LARGEST:
        return b'{"body":%b,"hash":"%b","seq":%d}\n' % (body, said.hex().encode(), seq)
    number, raw, was = verifier.exported(seq, body, said)
    return b'{"hash":"%b","raw":"%b","seq":%d}\n' % (was.hex().encode(), raw.hex().encode(), number)


def _is_line(body: bytes) -> bool:
    return body[:1] == b"{" and body[-1:] == b"}" and b"\n" not in body


def _signed(body: bytes, signature: bytes) -> bytes:
    return b'{"body":%b,"signature":"%b"}\n' % (body, signature.hex().encode())
