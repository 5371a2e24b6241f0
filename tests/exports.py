"""Exports as the command line writes them, for tests that check what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.control import report
from app.control.contract import NetworkReport
from app.core.exports import KINDS
from app.store.exporting import Export
from app.store.sealing import Signer
from app.system import sink


def write_log(connection: Any, folder: Path, signer: Signer | None, at_us: int, version: str = "1.0") -> Export:
    """The whole log in a new folder."""
    export = Export(signer, at_us, version)
    with sink.new(folder, KINDS["audit"]) as files:
        for number, piece in export.pieces(connection):
            files.write(number, piece)
        assert files.finish() == export.size
        files.keep()
    return export


def write_report(folder: Path, made: NetworkReport) -> Path:
    with sink.new(folder, KINDS["network"]) as files:
        for number, content in enumerate(report.pieces(made)):
            files.write(number, content)
        files.finish()
        files.keep()
    return folder
