"""A: what a web page, a rebound name or a stranger's request may get: nothing."""

from __future__ import annotations

from tests.attacks import wire
from tests.attacks.judge import every
from tests.attacks.registry import NOT_PROMISED, OTHERS, Seen, attack
from tests.attacks.stage import Stage

PATH = "/v1/chat/completions"


def _echo(stage: Stage, headers: list[tuple[str, str]], host: str | None = None, method: str = "POST") -> wire.Reply:
    """A request with a valid key that is answered, but for what `headers` and `host` are about."""
    body = wire.chat("gatehouse/echo")
    given = [("Authorization", f"Bearer {stage.key}"), ("Content-Length", str(len(body))), ("Connection", "close"), *headers]
    if not any(name.lower() == "content-type" for name, _ in headers):
        given.append(("Content-Type", "application/json"))
    replies = wire.send(stage.port, wire.head(stage.port, method, PATH, given, host=host) + body)
    return replies[0] if replies else wire.Reply(0)


@attack("A1", "19 other values of Host", promise=OTHERS, expected="421 for each")
def hosts(stage: Stage) -> Seen:
    """A rebound name reaches 127.0.0.1 with the key a page has stolen; other spellings of the address are no names of ours either."""
    port = stage.port
    names = [
        f"evil.example:{port}", f"0.0.0.0:{port}", f"[::]:{port}", f"127.1:{port}", f"2130706433:{port}", f"127.0.0.1.:{port}",
        f"localhost.:{port}", f"user@127.0.0.1:{port}", f"127.0.0.1:{port}@evil.example", "127.0.0.1:0", "127.0.0.1", "127.0.0.1:80",
        f"127.0.0.1:{port}, evil.example", f"0x7f.0.0.1:{port}", f"[::ffff:127.0.0.1]:{port}", f"127.0.0.1:0{port}", f"127.0.0.2:{port}",
        f"127.0.0.1:{port}/", "",
    ]  # fmt: skip
    answers = [(name, _echo(stage, [], host=name).status) for name in names]
    return every(((name or "(empty)", status in (400, 421), str(status)) for name, status in answers), "names")


@attack("A2", "no Host, two Hosts, other versions and forms of the request line", promise=OTHERS, expected="refused")
def request_lines(stage: Stage) -> Seen:
    """What servers disagree about: an absolute address, HTTP/0.9, a preface of HTTP/2, CONNECT."""
    good = f"Host: 127.0.0.1:{stage.port}\r\n"
    lines = {
        "no Host": "GET /health/liveliness HTTP/1.1\r\n\r\n",
        "two Hosts": f"GET /health/liveliness HTTP/1.1\r\n{good}Host: evil.example\r\n\r\n",
        "Host twice the same": f"GET /health/liveliness HTTP/1.1\r\n{good}{good}\r\n",
        "absolute address": f"GET http://evil.example/health/liveliness HTTP/1.1\r\n{good}\r\n",
        "HTTP/0.9": "GET /health/liveliness\r\n\r\n",
        "HTTP/1.2": f"GET /health/liveliness HTTP/1.2\r\n{good}\r\n",
        "HTTP/1.0 without Host": "GET /health/liveliness HTTP/1.0\r\n\r\n",
        "preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "CONNECT": f"CONNECT evil.example:443 HTTP/1.1\r\n{good}\r\n",
        "h2c": f"GET /v1/models HTTP/1.1\r\n{good}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
    }
    rows = []
    for name, line in lines.items():
        statuses = [reply.status for reply in wire.send(stage.port, line.encode(), timeout_s=3, quiet_s=0.5)]
        rows.append((name, not any(200 <= status < 400 or status == 101 for status in statuses), str(statuses)))
    return every(rows, "forms")


@attack("A3", "requests as a page can send them", promise=OTHERS, expected="403 or 415, and no CORS header")
def pages(stage: Stage) -> Seen:
    """Origin in all its forms, forms and plain text, a preflight, a WebSocket: even with a valid key nothing is answered to a page."""
    cases: dict[str, tuple[list[tuple[str, str]], str]] = {
        "Origin evil": ([("Origin", "https://evil.example")], "POST"),
        "Origin null": ([("Origin", "null")], "POST"),
        "Origin empty": ([("Origin", "")], "POST"),
        "Origin of our own": ([("Origin", f"http://127.0.0.1:{stage.port}")], "POST"),
        "cross-site": ([("Sec-Fetch-Site", "cross-site")], "POST"),
        "same-site": ([("Sec-Fetch-Site", "same-site")], "POST"),
        "text/plain": ([("Content-Type", "text/plain")], "POST"),
        "form": ([("Content-Type", "application/x-www-form-urlencoded")], "POST"),
        "multipart": ([("Content-Type", "multipart/form-data; boundary=x")], "POST"),
        "no type": ([("Content-Type", "")], "POST"),
        "JSON as a parameter": ([("Content-Type", "text/plain; application/json")], "POST"),
        "preflight": ([("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")], "OPTIONS"),
        "PATCH": ([], "PATCH"),
        "TRACE": ([], "TRACE"),
        "WebSocket": ([("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")], "GET"),
    }
    rows = []
    for name, (headers, method) in cases.items():
        reply = _echo(stage, headers, method=method)
        opened = any(key.startswith("access-control-") for key, _ in reply.headers)
        refused = reply.status >= 400 or reply.status == 0  # 0: nothing was said at all
        rows.append((name, refused and not opened, f"{reply.status}{' with CORS' if opened else ''}"))
    return every(rows, "requests")


@attack("A4", "Sec-Fetch-Site twice, the good one first", promise=NOT_PROMISED, expected="403")
def two_sites(stage: Stage) -> Seen:
    """No browser sends it twice; what stands between a browser and us might."""
    rows = []
    for values in (("none", "cross-site"), ("same-origin", "cross-site"), ("same-origin, cross-site",)):
        status = _echo(stage, [("Sec-Fetch-Site", value) for value in values]).status
        rows.append((" then ".join(values), status in (400, 403), str(status)))
    return every(rows, "pairs")


@attack("A5", "every endpoint without a key, with a wrong one, and with a key in the address", promise=OTHERS, expected="401")
def keys(stage: Stage) -> Seen:
    """A key in the address would stand in logs and histories, so it counts as none, however `key` is spelled."""
    body = wire.chat("gatehouse/echo", max_tokens=5)
    posts = [
        PATH, "/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/responses", "/v1/embeddings", "/v1/completions",
        "/v1beta/models/gatehouse%2fecho:generateContent", "/openai/deployments/gatehouse%2fecho/chat/completions",
    ]  # fmt: skip
    tries = [("POST", path, "") for path in posts] + [("GET", path, "") for path in ("/v1/models", "/v1beta/models", "/v1/responses/x")]
    tries += [("POST", f"{PATH}?{name}={stage.key}", "") for name in ("key", "api_key", "%6bey", "KEY")]
    tries += [("POST", "/v1beta/models/gatehouse%2fecho:generateContent?key=" + stage.key, "")]
    tries += [("POST", PATH, wrong) for wrong in ("sk-gh-wrong", stage.key[:-1], stage.key + "x", stage.key.upper(), "\t")]
    rows = []
    for method, path, key in tries:
        status = wire.ask(stage.port, method, path, body if method == "POST" else None, key=key).status
        rows.append((f"{method} {path[:40]}", status in (400, 401, 404), str(status)))
    return every(rows, "requests")


@attack("A6", "40 odd paths", promise=OTHERS, expected="one meaning: refused without a key, no control paths")
def paths(stage: Stage) -> Seen:
    """Dots, double slashes, encoded slashes and NULs must not lead around the check of the key, and never to the control API."""
    odd = [
        "/v0/snapshot", "//v0/snapshot", "/%76%30/snapshot", "/v1/../v0/snapshot", "/v1/models/../../v0/snapshot", "/v0/proof?nonce=x",
        "/health/../v1/models", "/health/liveliness/../../v1/models", "/health%2f..%2fv1%2fmodels", "//v1/models", "/./v1/models",
        "/v1//models", "/v1/models/", "/v1/models;x", "/v1/models%00", "/v1/models%0d%0aX: y", "/v1/models#", "/%2e%2e/v1/models",
        "/v1\\models", "/V1/models", "/v1/models?x=1&key=y", "/openai/v1/models", "/openai/v1/openai/v1/models", "/..;/v1/models",
        "/health/liveliness;/../v1/models", "/metrics", "/docs", "/openapi.json", "/favicon.ico", "/.git/config", "/key/list", "/audit",
        "*", "/%", "/%zz", "/" + "a/" * 1000, "/" + "%2f" * 1000, "/openai/" + "v1/" * 1500 + "models", "?x", "/~root",
    ]  # fmt: skip
    rows = []
    for path in odd:
        status = wire.ask(stage.port, "GET", path).status
        rows.append((path[:40], 400 <= status < 500, str(status)))
    return every(rows, "paths")
