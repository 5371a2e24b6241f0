"""Writes the list of everywhere the program may ever connect to, from the program itself: `destinations.json`, and the same for macOS.

    .venv/bin/python packaging/make_destinations.py

Each line has host, purpose, what triggers it and how to switch it off. Nothing on it is switched on by itself: a fresh installation has no
account, and the keeper dials for accounts only. `macos/InternetAccessPolicy.plist` says it in the form that network monitors of macOS read
(Objective Development, "Internet Access Policy", version 1). A test fails when these files are not what the program says.
"""

from __future__ import annotations

import json
import plistlib
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "packaging" / "destinations.json"
POLICY = ROOT / "packaging" / "macos" / "InternetAccessPolicy.plist"

TRIGGER = "You add an account of this kind; then each request of yours that names one of its models, and each test of the account."
OFF = "Remove the account: gatehouse provider remove NAME. No account is there after installation."


def destinations() -> list[dict[str, Any]]:
    """One entry for each address a kind of account has by itself; kinds whose address the person gives are named without one."""
    sys.path.insert(0, str(ROOT))
    from app.keeper.links import LINKS  # noqa: PLC0415 - after the path is known
    from app.providers.catalogue import KINDS  # noqa: PLC0415 - as above

    found = []
    for kind in sorted(KINDS.values(), key=lambda each: each.id):
        address = urlsplit(kind.base_url) if kind.base_url else None
        found.append(
            {
                "host": (address.hostname or "") if address is not None and "{" not in kind.base_url else "as given by the person",
                "port": (address.port or (443 if address.scheme == "https" else 80)) if address is not None else 443,
                "kind": kind.id,
                "purpose": f"Requests you make to {kind.label}",
                "trigger": TRIGGER,
                "off": OFF,
                "on_after_installation": False,
                "opened_in_browser": LINKS.get(kind.id, ""),
            }
        )
    return found


def files() -> dict[Path, bytes]:
    """What the two files should hold."""
    listed = destinations()
    policy = {
        "ApplicationDescription": "Gatehouse connects to the providers you add and to nothing else: no telemetry, no update check.",
        "DeveloperName": "Gatehouse",
        "Connections": [
            {
                "IsIncoming": False,
                "Host": host,
                "NetworkProtocol": "TCP",
                "Port": ",".join(sorted({str(each["port"]) for each in listed if each["host"] == host})),
                "Purpose": "; ".join(each["purpose"] for each in listed if each["host"] == host) + ". " + TRIGGER,
                "DenyConsequences": "Requests to this provider fail; nothing else does.",
            }
            for host in sorted({each["host"] for each in listed if "." in each["host"] and not each["host"].startswith("127.")})
        ],
    }
    return {
        LIST: (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode(),
        POLICY: plistlib.dumps(policy, sort_keys=True),
    }


def main() -> int:
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{path.relative_to(ROOT)}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
