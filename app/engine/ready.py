"""What `/health/readiness` answers."""

from __future__ import annotations

import json

from app.core.errors import AppError
from app.engine.web import Reply


def readiness(why: AppError | None) -> Reply:
    """200 when a request would be answered, else 503 with the reason, as code and as sentence."""
    if why is None:
        return Reply(200, b'{"status":"ready"}')
    body = json.dumps({"status": "not ready", "code": why.code, "message": why.sentence()}, ensure_ascii=False).encode()
    return Reply(503, body, (("retry-after", str(max(1, round(why.retry_after_s or 10)))),))
