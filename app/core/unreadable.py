"""What msgspec raises for bytes that are not what was asked for. Its own error is one of three: a text that is not UTF-8 brings Python's,
and so does JSON that nests too deeply. Whoever decodes what others wrote catches all of them.
"""

from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
