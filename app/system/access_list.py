"""Windows: who owns a file or folder, and who its access list lets in, as a security descriptor in text (SDDL).

Reading and writing it goes to advapi32 through ctypes; judging it is plain text work, so that the judgement can be tried everywhere.
The form: `O:` owner, `G:` group, `D:` flags and entries `(type;flags;rights;object;inherited object;trustee)`. Source: Microsoft,
"Security Descriptor String Format" and "ACE Strings".

Let in may be: the user who runs this, the system itself and the administrators, who can take any file anyway. Everybody else is a
stranger, also for reading. An owner can rewrite the list, so only this user counts as one; the administrators, when we are one.
"""

from __future__ import annotations

import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PARTS: Final = re.compile(r"([OGDS]):((?:(?![OGDS]:).)*)", re.DOTALL)
_LIST: Final = re.compile(r"[A-Z]*(\([^()]*\))*")
_ENTRY: Final = re.compile(r"\(([^()]*)\)")
_ALLOWS: Final = frozenset({"A", "OA", "XA", "ZA"})
# SDDL's short names and the numbers they stand for (Microsoft, "SID Strings", "Well-known SIDs").
_SYSTEM: Final = frozenset({"SY", "S-1-5-18"})
_ADMINISTRATORS: Final = frozenset({"BA", "S-1-5-32-544"})
_OWNER: Final = frozenset({"OW", "S-1-3-4", "CO", "S-1-3-0"})  # owner rights and creator owner: the owner's own
_LINKS: Final = frozenset({0xA000000C, 0xA0000003})  # symbolic link and mount point (a junction is one)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """owner: a SID, or SDDL's short name of one. allowed: who is let in by some entry; None where there is no list: everybody is."""

    owner: str
    allowed: frozenset[str] | None

    @staticmethod
    def of(sddl: str) -> Descriptor:
        """ValueError when the text is no descriptor."""
        parts = dict(_PARTS.findall(sddl))
        if "O" not in parts:
            raise ValueError("no owner in the security descriptor")
        if "D" not in parts or "NO_ACCESS_CONTROL" in parts["D"]:
            return Descriptor(parts["O"], None)
        if _LIST.fullmatch(parts["D"]) is None:  # a condition within an entry, for one: what it lets in is not known here
            raise ValueError("an entry of the access list is not understood")
        allowed = set()
        for entry in _ENTRY.findall(parts["D"]):
            fields = entry.split(";")
            if len(fields) < 6:
                raise ValueError("an entry of the access list is too short")
            if fields[0] in _ALLOWS:
                allowed.add(fields[5])
        return Descriptor(parts["O"], frozenset(allowed))


def strangers(found: Descriptor, own: str, *, administrator: bool) -> str:
    """Why somebody else has a say over what has this descriptor, or "". own: the SID of this user."""
    owners = {own} | (_ADMINISTRATORS | _SYSTEM if administrator else set())
    if found.owner not in owners:
        return "it belongs to another user"
    if found.allowed is None:
        return "it has no access list, so everybody may use it"
    others = sorted(found.allowed - {own} - _SYSTEM - _ADMINISTRATORS - _OWNER)
    return f"its access list lets others in ({', '.join(others)})" if others else ""


def sddl(own: str, *, folder: bool) -> str:
    """The list we give: this user and the system, nothing from the folder above; what is made in the folder gets the same."""
    flags = "OICI" if folder else ""
    return f"D:P(A;{flags};FA;;;{own})(A;{flags};FA;;;SY)"


def exposed(path: Path) -> str:
    """Why somebody else has a say over `path`, or "". A link is not followed, it is the reason."""
    if sys.platform != "win32":
        return ""
    else:  # noqa: RET505 - for the type checker, which looks at one system at a time
        try:
            facts = path.lstat()
            if facts.st_reparse_tag in _LINKS or stat.S_ISLNK(facts.st_mode):
                return "it is a link"
            return strangers(Descriptor.of(_read(path)), _own_sid(), administrator=_is_administrator())
        except (OSError, ValueError) as error:
            return f"its access list cannot be read ({error})"


def close(path: Path) -> None:
    """Make this user its owner and let nobody else in. OSError when that cannot be."""
    if sys.platform == "win32":
        own = _own_sid()
        _write(path, f"O:{own}{sddl(own, folder=path.is_dir())}")


if sys.platform == "win32":
    import ctypes
    import os
    from ctypes import wintypes

    _advapi: Final = ctypes.WinDLL("advapi32", use_last_error=True)
    _kernel: Final = ctypes.WinDLL("kernel32", use_last_error=True)
    _shell: Final = ctypes.WinDLL("shell32", use_last_error=True)
    _FILE_OBJECT: Final = 1  # SE_FILE_OBJECT
    _OWNER_INFORMATION: Final = 0x1
    _LIST_INFORMATION: Final = 0x4
    _PROTECTED: Final = 0x80000000
    _TOKEN_QUERY: Final = 0x8
    _TOKEN_USER: Final = 1
    _REVISION: Final = 1

    _kernel.GetCurrentProcess.restype = wintypes.HANDLE
    _kernel.CloseHandle.argtypes = [wintypes.HANDLE]
    _kernel.LocalFree.argtypes = [wintypes.HLOCAL]
    _advapi.OpenProcessToken.argtypes = [wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE)]
    _advapi.GetTokenInformation.argtypes = [
        wintypes.HANDLE, ctypes.c_int, ctypes.c_void_p, wintypes.DWORD, ctypes.POINTER(wintypes.DWORD)
    ]  # fmt: skip
    _advapi.ConvertSidToStringSidW.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]
    _advapi.GetNamedSecurityInfoW.argtypes = [
        wintypes.LPCWSTR, ctypes.c_int, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_void_p),
    ]  # fmt: skip
    _advapi.GetNamedSecurityInfoW.restype = wintypes.DWORD
    _advapi.ConvertSecurityDescriptorToStringSecurityDescriptorW.argtypes = [
        ctypes.c_void_p, wintypes.DWORD, wintypes.DWORD, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p
    ]  # fmt: skip
    _advapi.ConvertStringSecurityDescriptorToSecurityDescriptorW.argtypes = [
        wintypes.LPCWSTR, wintypes.DWORD, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p
    ]  # fmt: skip
    _advapi.GetSecurityDescriptorOwner.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(wintypes.BOOL)]
    _advapi.GetSecurityDescriptorDacl.argtypes = [
        ctypes.c_void_p, ctypes.POINTER(wintypes.BOOL), ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(wintypes.BOOL)
    ]  # fmt: skip
    _advapi.SetNamedSecurityInfoW.argtypes = [
        wintypes.LPWSTR, ctypes.c_int, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
    ]  # fmt: skip
    _advapi.SetNamedSecurityInfoW.restype = wintypes.DWORD

    def _check(succeeded: int) -> None:
        if not succeeded:
            raise ctypes.WinError(ctypes.get_last_error())

    def _text(pointer: ctypes.c_void_p) -> str:
        """The text at a pointer that the system allocated, which is given back."""
        try:
            return ctypes.wstring_at(pointer.value or 0)
        finally:
            _kernel.LocalFree(pointer)

    def _own_sid() -> str:
        token, size, text = wintypes.HANDLE(), wintypes.DWORD(), ctypes.c_void_p()
        _check(_advapi.OpenProcessToken(_kernel.GetCurrentProcess(), _TOKEN_QUERY, ctypes.byref(token)))
        try:
            _advapi.GetTokenInformation(token, _TOKEN_USER, None, 0, ctypes.byref(size))
            user = ctypes.create_string_buffer(size.value)
            _check(_advapi.GetTokenInformation(token, _TOKEN_USER, user, size, ctypes.byref(size)))
        finally:
            _kernel.CloseHandle(token)
        sid = ctypes.cast(user, ctypes.POINTER(ctypes.c_void_p))[0]  # TOKEN_USER begins with the pointer to the SID
        _check(_advapi.ConvertSidToStringSidW(sid, ctypes.byref(text)))
        return _text(text)

    def _is_administrator() -> bool:
        """Whether this process runs with the administrators' rights, not merely as a member who could ask for them."""
        return bool(_shell.IsUserAnAdmin())

    def _read(path: Path) -> str:
        found, text = ctypes.c_void_p(), ctypes.c_void_p()
        wanted = _OWNER_INFORMATION | _LIST_INFORMATION
        code = _advapi.GetNamedSecurityInfoW(os.fspath(path), _FILE_OBJECT, wanted, None, None, None, None, ctypes.byref(found))
        if code:
            raise ctypes.WinError(code)
        try:
            _check(_advapi.ConvertSecurityDescriptorToStringSecurityDescriptorW(found, _REVISION, wanted, ctypes.byref(text), None))
            return _text(text)
        finally:
            _kernel.LocalFree(found)

    def _write(path: Path, text: str) -> None:
        made, owner, dacl = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        present, defaulted = wintypes.BOOL(), wintypes.BOOL()
        _check(_advapi.ConvertStringSecurityDescriptorToSecurityDescriptorW(text, _REVISION, ctypes.byref(made), None))
        try:
            _check(_advapi.GetSecurityDescriptorOwner(made, ctypes.byref(owner), ctypes.byref(defaulted)))
            _check(_advapi.GetSecurityDescriptorDacl(made, ctypes.byref(present), ctypes.byref(dacl), ctypes.byref(defaulted)))
            what = _OWNER_INFORMATION | _LIST_INFORMATION | _PROTECTED
            code = _advapi.SetNamedSecurityInfoW(os.fspath(path), _FILE_OBJECT, what, owner, None, dacl, None)
            if code:
                raise ctypes.WinError(code)
        finally:
            _kernel.LocalFree(made)
