"""Writes a Windows shell link (`.lnk`) through the shell's own COM object, with ctypes: no further package, no script.

The numbers are positions in the method tables of `IShellLinkW` and `IPersistFile` (shobjidl_core.h, objidl.h).
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any, Final
from uuid import UUID

assert sys.platform == "win32"  # and mypy then knows what only Windows has

_SHELL_LINK: Final = UUID("00021401-0000-0000-C000-000000000046")
_ISHELLLINKW: Final = UUID("000214F9-0000-0000-C000-000000000046")
_IPERSISTFILE: Final = UUID("0000010B-0000-0000-C000-000000000046")
_QUERY_INTERFACE, _RELEASE = 0, 2
_SET_DESCRIPTION, _SET_WORKING_DIRECTORY, _SET_ARGUMENTS, _SET_ICON_LOCATION, _SET_PATH = 7, 9, 11, 17, 20
_SAVE = 6
_INPROC_SERVER: Final = 1
_APARTMENT_THREADED: Final = 2


def write(path: Path, *, target: str, arguments: str, folder: str, description: str, icon: str) -> None:
    """Makes or replaces the link `path`. OSError, with Windows' own words, when the shell refuses."""
    ole = ctypes.OleDLL("ole32")  # every call that fails raises OSError by itself
    ole.CoInitializeEx(None, _APARTMENT_THREADED)
    try:
        link = ctypes.c_void_p()
        ole.CoCreateInstance(_guid(_SHELL_LINK), None, _INPROC_SERVER, _guid(_ISHELLLINKW), ctypes.byref(link))
        try:
            text = ctypes.c_wchar_p
            _call(link, _SET_PATH, (text, target))
            _call(link, _SET_ARGUMENTS, (text, arguments))
            _call(link, _SET_WORKING_DIRECTORY, (text, folder))
            _call(link, _SET_DESCRIPTION, (text, description))
            _call(link, _SET_ICON_LOCATION, (text, icon), (ctypes.c_int, 0))
            file = ctypes.c_void_p()
            _call(link, _QUERY_INTERFACE, (ctypes.c_char_p, _guid(_IPERSISTFILE)), (ctypes.c_void_p, ctypes.addressof(file)))
            try:
                _call(file, _SAVE, (text, str(path)), (ctypes.c_int, 1))
            finally:
                _release(file)
        finally:
            _release(link)
    finally:
        ole.CoUninitialize()


def _guid(value: UUID) -> bytes:
    """A GUID as it lies in memory: the first three fields in the machine's order."""
    return value.bytes_le


def _method(instance: ctypes.c_void_p, number: int, result: Any, *types: Any) -> Any:
    methods = ctypes.cast(ctypes.cast(instance, ctypes.POINTER(ctypes.c_void_p))[0] or 0, ctypes.POINTER(ctypes.c_void_p))
    return ctypes.WINFUNCTYPE(result, ctypes.c_void_p, *types)(methods[number] or 0)


def _call(instance: ctypes.c_void_p, number: int, *arguments: tuple[Any, Any]) -> None:
    # The result type HRESULT makes ctypes raise OSError for every code that means failure.
    _method(instance, number, ctypes.HRESULT, *(kind for kind, _ in arguments))(instance, *(value for _, value in arguments))


def _release(instance: ctypes.c_void_p) -> None:
    _method(instance, _RELEASE, ctypes.c_ulong)(instance)
