"""The judgement over Windows' access lists, on their text. The calls that read and write them run on Windows alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.system.access_list import Descriptor, close, exposed, sddl, strangers

OWN = "S-1-5-21-1111111111-2222222222-3333333333-1001"
OTHER = "S-1-5-21-1111111111-2222222222-3333333333-1002"
PRIVATE = f"O:{OWN}G:{OWN}D:PAI(A;OICI;FA;;;{OWN})(A;OICI;FA;;;SY)"


def judged(text: str, *, administrator: bool = False) -> str:
    return strangers(Descriptor.of(text), OWN, administrator=administrator)


@pytest.mark.parametrize("text", [
    PRIVATE,
    f"O:{OWN}{sddl(OWN, folder=True)}",
    f"O:{OWN}{sddl(OWN, folder=False)}",
    f"O:{OWN}D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;{OWN})",  # what a folder below the profile inherits
    f"O:{OWN}D:P(D;;FA;;;WD)(A;;FA;;;{OWN})",  # forbidding lets nobody in
    f"O:{OWN}D:P(A;;FA;;;OW)(A;OICIIO;FA;;;CO)",
    f"O:{OWN}D:P",  # a list without an entry lets nobody in
    f"O:{OWN}G:S-1-5-21-1-2-3-513D:P(A;;FA;;;{OWN})S:(AU;SA;FA;;;WD)",
])  # fmt: skip
def test_what_only_the_user_the_system_and_administrators_may_use_is_private(text: str) -> None:
    assert judged(text) == ""


@pytest.mark.parametrize(("text", "reason"), [
    (f"O:{OTHER}D:P(A;;FA;;;{OWN})", "belongs to another user"),
    (f"O:BAD:P(A;;FA;;;{OWN})", "belongs to another user"),
    (f"O:SYD:P(A;;FA;;;{OWN})", "belongs to another user"),
    (f"O:{OWN}", "no access list"),
    (f"O:{OWN}D:NO_ACCESS_CONTROL", "no access list"),
    (f"O:{OWN}D:P(A;;FA;;;{OWN})(A;;FR;;;WD)", "lets others in (WD)"),
    (f"O:{OWN}D:P(A;;FA;;;{OWN})(A;;FR;;;BU)", "lets others in (BU)"),
    (f"O:{OWN}D:AI(A;OICIID;0x1301bf;;;AU)(A;ID;FA;;;{OWN})", "lets others in (AU)"),  # a second disk, as Windows makes it
    (f"O:{OWN}D:P(A;;FA;;;{OWN})(A;;0x1;;;{OTHER})", f"lets others in ({OTHER})"),
    (f"O:{OWN}D:P(OA;;FA;;;{OTHER})", f"lets others in ({OTHER})"),
    (f"O:{OWN}D:P(A;OICIIO;FA;;;WD)", "lets others in (WD)"),  # not on the folder, but on all that is made in it
])  # fmt: skip
def test_whoever_else_has_a_say_is_named(text: str, reason: str) -> None:
    assert reason in judged(text)


def test_administrators_own_for_one_who_is_one() -> None:
    for owner in ("BA", "S-1-5-32-544", "SY"):
        text = f"O:{owner}D:P(A;;FA;;;{OWN})"
        assert judged(text, administrator=True) == ""
        assert judged(text) != ""


@pytest.mark.parametrize("text", ["", "D:P", "x", f"O:{OWN}D:P(A;;FA)", f"O:{OWN}D:P(XA;;FX;;;WD;(@User.x == 1))", f"O:{OWN}D:P(A;;FA;;;WD",
                                  f"O:{OWN}D:P)A;;FA;;;WD("])  # fmt: skip
def test_what_is_not_understood_is_no_access_list(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Descriptor.of(text)


@pytest.mark.skipif(sys.platform != "win32", reason="NOT RUN: needs Windows")
def test_on_windows_a_folder_is_closed_and_a_link_is_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    close(folder)
    assert exposed(folder) == ""
    (folder / "control.json").write_text("{}")
    assert exposed(folder / "control.json") == "", "what is made in it is as private"
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert exposed(tmp_path / "link") == "it is a link"
