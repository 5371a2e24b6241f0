"""The keyring of the operating system: one pinned backend for each system, and what it is like before it is touched.

Only the vault child opens a keyring. `keyring` would search for backends by itself, take one from a configuration file, and unlock, that
is prompt, whenever it is asked for an item; here the backend is named, and nothing prompts unless `standing(prompt=True)` is called.
It and the ciphers behind `secretstorage` are imported where they are used, so that a child that only watches stays small.

Errors: `vault_locked`, `vault_absent`, `vault_denied`, told apart, each with the next step.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from app.core.errors import AppError
from app.core.secret import Secret
from app.system.peers import same_user

State = Literal["ready", "locked", "absent", "denied"]

_PROMPT_S: Final = 110
_BUS_AGAIN_S: Final = (1.0, 30.0)
_BUS_ANSWER_S: Final = 25.0
_SECRETS: Final = "org.freedesktop.secrets"
_SECRETS_PATH: Final = "/org/freedesktop/secrets"
# Does this system say when its keyring locks (`watch_locks`)? Elsewhere the first refusal is what tells.
TELLS_OF_LOCKS: Final = sys.platform not in ("win32", "darwin")
# CRED_MAX_CREDENTIAL_BLOB_SIZE is 2,560 bytes, and a text is stored as UTF-16 (wincred.h).
WINDOWS_LIMIT: Final = 1280


@dataclass(frozen=True, slots=True)
class Standing:
    """Can items be read now, without asking the person? message: what to do if not."""

    state: State
    place: str
    message: str = ""


class Backend(Protocol):
    """`keyring.backend.KeyringBackend`, as far as we use it."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class Keyring:
    """Items of one backend. limit: how many characters (UTF-16 units) an item may have, or None. Blocks; not for an event loop."""

    def __init__(self, backend: Backend | None, place: str, limit: int | None = None) -> None:
        self._backend: Final = backend
        self.place = place
        self.limit: Final = limit

    def standing(self, *, prompt: bool) -> Standing:
        """How the keyring is. prompt: ask the person to unlock it, which may take minutes; only on their own click."""
        if self._backend is None:
            return Standing("absent", self.place, f"{self._named()} cannot be used on this machine.")
        return Standing("ready", self.place)

    def get(self, service: str, name: str) -> Secret | None:
        """The item, or None if there is none."""
        with self._errors():
            found = self._need().get_password(service, name)
        return None if found is None else Secret(found)

    def put(self, service: str, name: str, secret: Secret) -> None:
        with self._errors():
            self._need().set_password(service, name, secret.reveal())

    def remove(self, service: str, name: str) -> None:
        """Afterwards there is no such item; that there was none is no error."""
        with self._errors():
            if self._need().get_password(service, name) is not None:
                self._need().delete_password(service, name)

    def holds(self, secret: Secret) -> bool:
        """Does the secret fit into an item?"""
        return self.limit is None or len(secret.reveal().encode("utf-16-le")) // 2 <= self.limit

    def _need(self) -> Backend:
        if self._backend is None:
            raise self._absent()
        return self._backend

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Every exception of the backend becomes one of ours. None of them is chained: some libraries put the secret into the text."""
        try:
            yield
        except AppError:
            raise
        except Exception as error:  # noqa: BLE001 - backends raise whatever their system's library raises
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> AppError:
        import keyring.errors  # noqa: PLC0415 - see above

        if isinstance(error, keyring.errors.KeyringLocked):
            return self._locked()
        return AppError("vault_denied", f"{self._named()} refused ({type(error).__name__}).", "Look into its settings, then try again.")

    def _named(self) -> str:
        """The place, as a sentence begins."""
        return self.place[:1].upper() + self.place[1:]

    def _locked(self) -> AppError:
        return AppError("vault_locked", f"{self._named()} is locked.", "Unlock it in Gatehouse.")

    def _absent(self) -> AppError:
        return AppError("vault_absent", f"{self._named()} does not answer.", "Start it, or log in again.")

    def _refused(self) -> AppError:
        return AppError("vault_denied", f"{self._named()} refused access to Gatehouse's keys.", "Allow it there, then click Unlock.")


def system_keyring() -> Keyring:
    """The keyring of this system: Secret Service on Linux and BSD, Keychain on macOS, Credential Manager on Windows. Never a file."""
    kinds = {"win32": _CredentialManager, "darwin": _Keychain}
    try:
        return kinds.get(sys.platform, _SecretService)()
    except (ImportError, OSError):
        return Keyring(None, "the system's keyring")


class _SecretService(Keyring):
    """Linux: GNOME Keyring, KWallet, KeePassXC, ... through the D-Bus interface they share."""

    def __init__(self) -> None:
        import keyring.errors  # noqa: PLC0415 - see above
        from keyring.backends import SecretService  # noqa: PLC0415 - Linux only

        ours = self

        class Quiet(SecretService.Keyring):
            """The stock backend makes a missing keyring and unlocks a locked one, both with a prompt; this one says that it is locked."""

            def get_preferred_collection(self) -> Any:
                collection = _default_collection()
                if collection.is_locked():
                    ours.place = _service_name(collection.connection)
                    collection.connection.close()
                    raise keyring.errors.KeyringLocked
                return collection

            def unlock(self, item: Any) -> None:
                if item.is_locked():
                    raise keyring.errors.KeyringLocked

        super().__init__(Quiet(), "the system's keyring")  # type: ignore[no-untyped-call]  # untyped there

    def standing(self, *, prompt: bool) -> Standing:
        import secretstorage  # noqa: PLC0415 - Linux only

        try:
            with contextlib.closing(_session_bus()) as bus:
                if not secretstorage.check_service_availability(bus):
                    return self._nothing()
                try:
                    collection = secretstorage.Collection(bus)  # also starts a service that is there but not running
                    self.place = _service_name(bus)
                except secretstorage.ItemNotFoundException:
                    self.place = _service_name(bus)
                    if not prompt:
                        return Standing("locked", self.place, f"{self.place} has no keyring yet. Unlock lets it make one for you.")
                    collection = secretstorage.create_collection(bus, "Default", "default")
                if collection.is_locked() and prompt:
                    collection.unlock(timeout=_PROMPT_S)
                    if collection.is_locked():
                        return self._dismissed()
                if collection.is_locked():
                    return Standing("locked", self.place, f"{self.place} is locked. Click Unlock and give its password.")
        except secretstorage.PromptDismissedException:
            return self._dismissed()
        except TimeoutError:
            return Standing("locked", self.place, f"{self.place} is locked, and its question was not answered.")
        except Exception:  # noqa: BLE001 - no bus, no daemon, a bus that hangs up: jeepney raises many kinds
            return self._nothing()
        return Standing("ready", self.place)

    def _nothing(self) -> Standing:
        return Standing("absent", self.place, "No keyring service runs in this session (Secret Service on D-Bus, e.g. GNOME Keyring).")

    def _dismissed(self) -> Standing:
        return Standing("denied", self.place, f"{self.place} was not unlocked: its question was dismissed or could not be shown.")

    def _translated(self, error: Exception) -> AppError:
        import secretstorage  # noqa: PLC0415 - Linux only

        if isinstance(error, secretstorage.LockedException):
            return self._locked()
        gone = (secretstorage.SecretServiceNotAvailableException, secretstorage.ItemNotFoundException, OSError, EOFError)
        if isinstance(error, gone) or isinstance(error.__cause__, gone):
            return self._absent()
        return super()._translated(error)


def watch_locks(told: Callable[[bool | None], None]) -> None:
    """Tell whether the default keyring is locked: once now, and after each change. None: no bus, no service, or no keyring. Never returns.

    Services announce it in different ways (a property, the collection, their own coming and going), so each announcement is taken as a
    hint to look. Looking reads one property: it starts no service and shows no question.
    """
    pause_s, longest_s = _BUS_AGAIN_S
    while True:
        try:
            from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]  # noqa: PLC0415 - Linux only, no stubs

            with contextlib.closing(open_dbus_connection("SESSION")) as bus:
                if not same_user(bus.sock):
                    raise ConnectionRefusedError("the session's bus belongs to another user")
                _subscribe(bus)
                pause_s = _BUS_AGAIN_S[0]
                while True:
                    told(_is_locked(bus))
                    bus.receive()
        except Exception:  # noqa: BLE001 - no bus, or one that hangs up: jeepney raises many kinds
            told(None)
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, longest_s)


def _subscribe(bus: Any) -> None:
    from jeepney import MatchRule, message_bus  # type: ignore[import-untyped]  # noqa: PLC0415 - Linux only, no stubs

    locked = MatchRule(
        type="signal", sender=_SECRETS, interface="org.freedesktop.DBus.Properties", member="PropertiesChanged",
        path_namespace=_SECRETS_PATH,
    )  # fmt: skip
    locked.add_arg_condition(0, "org.freedesktop.Secret.Collection")
    service = MatchRule(type="signal", sender=_SECRETS, interface="org.freedesktop.Secret.Service")
    owner = MatchRule(type="signal", sender="org.freedesktop.DBus", interface="org.freedesktop.DBus", member="NameOwnerChanged")
    owner.add_arg_condition(0, _SECRETS)
    for rule in (locked, service, owner):
        bus.send_and_get_reply(message_bus.AddMatch(rule), timeout=_BUS_ANSWER_S)


def _is_locked(bus: Any) -> bool | None:
    """Signals that come while the answer is awaited are older than it, so none that counts is lost."""
    from jeepney import DBusAddress, MessageFlag, MessageType, Properties  # noqa: PLC0415 - Linux only

    collection = DBusAddress(f"{_SECRETS_PATH}/aliases/default", _SECRETS, "org.freedesktop.Secret.Collection")
    asked = Properties(collection).get("Locked")
    asked.header.flags = MessageFlag.no_auto_start
    answer = bus.send_and_get_reply(asked, timeout=_BUS_ANSWER_S)
    return bool(answer.body[0][1]) if answer.header.message_type == MessageType.method_return else None


class _Keychain(Keyring):
    """macOS. Questions of the system are switched off except while the person asked for them, so background work never shows one."""

    # Security framework, SecBase.h
    _USER_CANCELED: Final = -128
    _AUTH_FAILED: Final = -25293
    _NO_DEFAULT: Final = -25307
    _NOT_ALLOWED: Final = -25308

    def __init__(self) -> None:
        from keyring.backends import macOS  # noqa: PLC0415 - macOS only

        super().__init__(macOS.Keyring(), "macOS Keychain")  # type: ignore[no-untyped-call]  # untyped there
        self._security = ctypes.CDLL("/System/Library/Frameworks/Security.framework/Security")
        self._allow_questions(allowed=False)

    def standing(self, *, prompt: bool) -> Standing:
        if prompt:
            self._allow_questions(allowed=True)
            code = self._security.SecKeychainUnlock(None, 0, None, False)
            if code:
                return Standing("denied", self.place, "macOS Keychain was not unlocked: its question was dismissed.")
        status = ctypes.c_uint32()
        code = self._security.SecKeychainGetStatus(None, ctypes.byref(status))
        if code:
            return Standing("absent", self.place, "There is no default keychain. Make one in Keychain Access.")
        if not status.value & 1:  # kSecUnlockStateStatus
            return Standing("locked", self.place, "macOS Keychain is locked. Click Unlock and give its password.")
        return Standing("ready", self.place)

    def _allow_questions(self, *, allowed: bool) -> None:
        self._security.SecKeychainSetUserInteractionAllowed(ctypes.c_ubyte(allowed))

    def _translated(self, error: Exception) -> AppError:
        reason = error.__cause__.args[0] if error.__cause__ is not None and error.__cause__.args else None
        if reason == self._NOT_ALLOWED:
            return AppError("vault_locked", "macOS Keychain wants to ask you first.", "Click Unlock.")
        if reason in (self._USER_CANCELED, self._AUTH_FAILED):
            return self._refused()
        return self._absent() if reason == self._NO_DEFAULT else super()._translated(error)


class _CredentialManager(Keyring):
    """Windows. Items belong to this machine (CRED_PERSIST_LOCAL_MACHINE): with the default they would roam to others of a domain."""

    _ACCESS_DENIED: Final = 5
    _NO_LOGON_SESSION: Final = 1312

    def __init__(self) -> None:
        from keyring.backends import Windows  # noqa: PLC0415 - Windows only

        backend: Any = Windows.WinVaultKeyring()  # type: ignore[no-untyped-call]  # untyped there
        backend.persist = "local machine"
        super().__init__(backend, "Windows Credential Manager", WINDOWS_LIMIT)

    def standing(self, *, prompt: bool) -> Standing:
        try:
            self.get("Gatehouse", "standing")  # it is open for as long as the person is logged in; asking shows whether it answers
        except AppError as error:
            return Standing("absent" if error.code == "vault_absent" else "denied", self.place, error.sentence())
        return Standing("ready", self.place)

    def _translated(self, error: Exception) -> AppError:
        reason = getattr(error, "winerror", None)
        if reason == self._NO_LOGON_SESSION:
            return AppError("vault_absent", "Windows Credential Manager needs a logged-in user.", "Start Gatehouse in your session.")
        return self._refused() if reason == self._ACCESS_DENIED else super()._translated(error)


def _default_collection() -> Any:
    """The default collection on a connection of its own; an exception of secretstorage if there is none. Never made here."""
    import secretstorage  # noqa: PLC0415 - Linux only

    bus = _session_bus()
    try:
        return secretstorage.Collection(bus)
    except BaseException:
        bus.close()
        raise


def _session_bus() -> Any:
    """A connection to the session's bus, if this user runs it: a name in an old variable may have gone to somebody else since, and the
    master key would go there. An exception of secretstorage if there is none."""
    import secretstorage  # noqa: PLC0415 - Linux only

    bus = secretstorage.dbus_init()
    if not same_user(bus.sock):
        bus.close()
        raise secretstorage.SecretServiceNotAvailableException("the session's bus belongs to another user")
    return bus


def _service_name(bus: Any) -> str:
    """The program behind the Secret Service, in the words a person knows it by."""
    from jeepney import message_bus  # noqa: PLC0415 - Linux only

    try:
        (pid,) = bus.send_and_get_reply(message_bus.GetConnectionUnixProcessID("org.freedesktop.secrets"), timeout=5).body
        program = Path(f"/proc/{int(pid)}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError, TimeoutError):
        program = ""
    known = {"gnome-keyring-d": "GNOME Keyring", "oo7-daemon": "GNOME Keyring", "ksecretd": "KWallet", "keepassxc": "KeePassXC"}
    if program.startswith("kwalletd"):
        return "KWallet"
    return known.get(program) or (f"the Secret Service ({program})" if program.isprintable() and program else "the Secret Service")
