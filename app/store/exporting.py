"""The audit log as files that can be checked without Gatehouse (`app.verifier` says what they hold)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from app import verifier
from app.core import chain
from app.core.errors import AppError
from app.core.exports import KINDS
from app.store import audit, checkpoints
from app.store.sealing import Signer
from app.system import sink

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

AUDIT: Final = KINDS["audit"]
_LARGEST: Final = (1 << 63) - 1
_PIECE_BYTES: Final = 1 << 18


class Export:
    """One export of the whole log. entries, upto, size: how many entries, the newest one's number, how many bytes with the program's own
    files; known when all pieces were taken."""

    def __init__(self, signer: Signer | None, at_us: int, version: str) -> None:
        """Without a signer the export is not signed, and the verifier says so."""
        self._signer: Final = signer
        self._at_us: Final = at_us
        self._version: Final = version
        self._files: dict[str, object] = {}
        self.entries = self.upto = self.size = 0

    @property
    def is_signed(self) -> bool:
        return self._signer is not None

    def pieces(self, connection: Connection) -> Iterator[tuple[int, bytes]]:
        """Number of the file (`core.exports`) and the bytes that come next in it. Needs one unchanging read.

        AppError store_unavailable when a file of the program cannot be read.
        """
        self.upto, head = audit.newest_link(connection)
        newest = checkpoints.newest(connection)
        yield from self._file(0, self._counted(map(_entry, audit.links(connection))))
        yield from self._file(1, (_signed(*row) for row in checkpoints.rows(connection)))
        try:
            own = sink.own(AUDIT)
        except OSError as error:
            raise AppError("store_unavailable", f"A file of the program cannot be read ({error.strerror}).", "Install it again.") from error
        for name, content in own.items():
            self._note(name, len(content), hashlib.sha256(content).hexdigest())
        manifest = chain.canonical(
            {
                "kind": "export",
                "log": newest.log if newest is not None else "",
                "number": newest.number if newest is not None else -1,
                "seq": self.upto,
                "head": head.hex(),
                "at_us": self._at_us,
                "version": self._version,
                "files": self._files,
            }
        )
        signature = b"" if self._signer is None else self._signer.sign(verifier.EXPORT, manifest)
        yield from self._file(2, (_signed(manifest, signature),))

    def _file(self, number: int, lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        digest, size = hashlib.sha256(), 0
        for piece in _together(lines):
            digest.update(piece)
            size += len(piece)
            yield number, piece
        self._note(AUDIT.sent[number], size, digest.hexdigest())

    def _note(self, name: str, size: int, digest: str) -> None:
        self._files[name] = {"bytes": size, "sha256": digest}
        self.size += size

    def _counted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            self.entries += 1
            yield line


def _together(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, about `_PIECE_BYTES` at a time."""
    waiting, size = list[bytes](), 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


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
