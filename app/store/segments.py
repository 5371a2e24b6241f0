"""One file of the journal, as bytes: sealing records into it and reading them back out of whatever is left of it.

    file    "GHJOURN1", number (8 bytes), salt (16 random bytes), then frames
    frame   mark (2), index (4), length (4), CRC-32 of these ten bytes begun with the salt's (4), ciphertext with its tag

Each segment has a key of its own, made of the journal's key, the segment's number and its salt; the nonce is the record's index and the
head of the frame is authenticated. So a record cannot be read at another place, in another segment, or as another record, and one
that is missing leaves a gap in the indices. The checksum only tells a head that was cut off from one that was damaged; integrity is
AES-256-GCM's.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"GHJOURN1"
SALT_BYTES: Final = 16
LARGEST_RECORD: Final = 1 << 20
_FILE: Final = struct.Struct(">8sQ16s")
_START: Final = struct.Struct(">2sII")
_HEAD_BYTES: Final = _START.size + 4
_MARK: Final = b"\xa7G"
_TAG_BYTES: Final = 16
_BLOCK_BYTES: Final = 512  # the least a disk writes


class Sealer:
    """Makes the bytes of one segment. `records`: how many were sealed, which is the index of the next one."""

    __slots__ = ("_check", "_encrypt", "head", "records")

    def __init__(self, key: bytes, number: int, salt: bytes) -> None:
        self.head: Final = _FILE.pack(MAGIC, number, salt)
        self.records = 0
        self._check: Final = zlib.crc32(salt)
        self._encrypt: Final = _cipher(key, number, salt).encrypt

    def seal(self, record: bytes) -> bytes:
        """The frame of the next record. An index is never used twice, also when the frame could not be written."""
        index = self.records
        self.records = index + 1
        start = _START.pack(_MARK, index, len(record) + _TAG_BYTES)
        head = start + zlib.crc32(start, self._check).to_bytes(4)
        return head + self._encrypt(_nonce(index), record, head)


@dataclass(slots=True)
class Contents:
    """What a segment still says. records: in order. count: one more than the highest index read.

    damage: what is wrong with it in a sentence, or "". torn: it ends within a record, as when the writer was killed.
    """

    records: list[bytes] = field(default_factory=list)
    count: int = 0
    damage: str = ""
    torn: bool = False


def read(data: bytes, key: bytes, number: int) -> Contents:
    """Everything in `data` that can be authenticated as part of segment `number`. Never raises, whatever the bytes are."""
    found = Contents()
    never_filled = not data.strip(b"\0")
    if never_filled or len(data) < _FILE.size:
        found.torn = never_filled or MAGIC.startswith(data[: len(MAGIC)])
        if not found.torn:
            found.damage = "its beginning is damaged"
        return found
    magic, written_number, salt = _FILE.unpack_from(data)
    cipher = _cipher(key, number, salt)
    check = zlib.crc32(salt)
    if magic != MAGIC or written_number != number:
        found.damage = "its beginning is damaged"
    place, lost_records, lost_bytes = _FILE.size, 0, 0
    while place < len(data):
        frame = _frame(data, place, cipher, check, found.count)
        if frame is None:
            following = _search(data, place + 1, cipher, check, found.count)
            if following < 0:
                if _is_torn(data, place, check, found.count):
                    found.torn = True
                else:
                    lost_bytes += len(data) - place
                break
            lost_bytes += following - place
            place = following
            continue
        index, record, place = frame
        lost_records += index - found.count
        found.records.append(record)
        found.count = index + 1
    if lost_records or lost_bytes:
        found.damage = f"{lost_records} records and {lost_bytes} bytes in it cannot be read"
    return found


def _cipher(key: bytes, number: int, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, b"gatehouse journal segment\0" + number.to_bytes(8) + salt, hashlib.sha256))


def _nonce(index: int) -> bytes:
    return index.to_bytes(12)


def _frame(data: bytes, place: int, cipher: AESGCM, check: int, at_least: int) -> tuple[int, bytes, int] | None:
    """Index, record and the place after the frame that begins at `place`, if it is whole and authentic and not one from before."""
    head = data[place : place + _HEAD_BYTES]
    length = _length(head, check, at_least)
    if length is None:
        return None
    index = int.from_bytes(head[2:6])
    end = place + _HEAD_BYTES + length
    if end > len(data):
        return None
    try:
        return index, cipher.decrypt(_nonce(index), data[place + _HEAD_BYTES : end], head), end
    except InvalidTag:
        return None


def _length(head: bytes, check: int, at_least: int) -> int | None:
    """The length a whole and sensible head names."""
    if len(head) < _HEAD_BYTES:
        return None
    mark, index, length = _START.unpack_from(head)
    if mark != _MARK or zlib.crc32(head[: _START.size], check) != int.from_bytes(head[_START.size :]):
        return None
    if index < at_least or not _TAG_BYTES <= length <= LARGEST_RECORD + _TAG_BYTES:
        return None
    return int(length)


def _search(data: bytes, place: int, cipher: AESGCM, check: int, at_least: int) -> int:
    """The place of the next frame that can be read, -1 when there is none."""
    while (place := data.find(_MARK, place)) >= 0:
        if _frame(data, place, cipher, check, at_least) is not None:
            return place
        place += 1
    return -1


def _is_torn(data: bytes, place: int, check: int, index: int) -> bool:
    """Whether what is at `place` is the beginning of frame `index`: cut off, or never filled from some block on (after a power cut)."""
    written = len(data.rstrip(b"\0"))
    if written <= place:
        return True
    filled = -(-written // _BLOCK_BYTES) * _BLOCK_BYTES  # what follows this place was never written
    head = data[place : place + _HEAD_BYTES]
    if len(head) < _HEAD_BYTES or filled < place + _HEAD_BYTES:
        begun = _MARK + index.to_bytes(4)
        return begun.startswith(data[place:written][: len(begun)])
    length = _length(head, check, index)
    if length is None or int.from_bytes(head[2:6]) != index:
        return False
    end = place + _HEAD_BYTES + length
    return len(data) < end or filled < end
