"""A provider repeats the key it was sent: whatever the client's dialect, the provider's, the way and the spelling, the client does not get
it, and the ledger's message does not hold it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.core.errors import AppError
from app.core.secret import Secret
from app.wire.bridge import Bridge, Relay
from app.wire.chat import Answer, Call, Facts, Finish, Said, Start, Text
from app.wire.dialects import DIALECTS
from app.wire.dialogues import DIALOGUES
from app.wire.redact import SHAPES_ALONE, Redactor
from app.wire.usage import Usage
from tests.wire.bridging import NAMES, crossing, said
from tests.wire.spellings import KEYS, SPELLINGS, finds

KEY = KEYS["openai"]
REDACTOR = Redactor(Secret(KEY))
ROOT = Path(__file__).resolve().parents[2]
MARK = "A-PLACE"


def bodies(provider: str, spelled: str) -> list[bytes]:
    """An error in the provider's dialect that repeats the key, spelled in its text, and with the spelling's escapes as the JSON's own."""
    body = DIALECTS[provider].error_body(AppError("provider_error", f"Bad key {MARK}.", status=401), "req_1")  # type: ignore[index]
    plain = body.replace(MARK.encode(), json.dumps(spelled)[1:-1].encode())
    escaped = body.replace(MARK.encode(), "".join(f"\\u{ord(sign):04x}" for sign in spelled).encode())
    own = body.replace(MARK.encode(), spelled.encode())
    return [plain, escaped, own]


def event(provider: str, body: bytes) -> bytes:
    if provider == "responses":
        error = json.loads(body)["error"]
        body = json.dumps({"type": "error", "code": "x", "message": error["message"], "param": None, "sequence_number": 1}).encode()
    name = b"event: error\n" if provider in ("anthropic", "responses") else b""
    return name + b"data: " + body + b"\n\n"


def readable(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def clean(passing: Relay | Bridge, out: bytes) -> None:
    assert not finds(KEY, out.decode("utf-8", "replace")), out
    assert passing.error is not None
    assert not finds(KEY, passing.error.sentence())


def begun(provider: str) -> bytes:
    writer = DIALOGUES[provider].writer(Call(origin=provider, model="m", stream=True), Facts(model="m", id="1"))  # type: ignore[index]
    return writer.write([Start("i", "m"), Said("Hello")], Usage())


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("client", NAMES)
def test_in_an_error(client: str, provider: str, spelling: str) -> None:
    for body in bodies(provider, SPELLINGS[spelling](KEY)):
        passing = crossing(client, provider, redactor=REDACTOR)
        refusal = passing.refusal(401, body, "req_1")
        clean(passing, refusal.body)
        json.loads(refusal.body)
        assert refusal.error is passing.error


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("client", NAMES)
def test_in_an_error_of_a_stream(client: str, provider: str, spelling: str) -> None:
    for body in bodies(provider, SPELLINGS[spelling](KEY)):
        if not readable(body):
            continue  # no package reads it either; how it passes: below
        for before in (b"", begun(provider)):
            stream = before + event(provider, body)
            for size in (7, len(stream)):
                passing = crossing(client, provider, stream=True, redactor=REDACTOR)
                out = b"".join([passing.feed(stream[at : at + size]) for at in range(0, len(stream), size)]) + passing.finish()
                clean(passing, out)
                said(out)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("dialect", NAMES)
def test_in_an_event_that_is_called_an_error_and_is_none(dialect: str, spelling: str) -> None:
    spelled = SPELLINGS[spelling](KEY).replace("\n", "\ndata: ")
    for stream in (
        f"event: error\ndata: not JSON: {spelled}\n\n",
        f'data: {{"error": "{spelled}\n\n',
        f'event: error\ndata: {{"m":"{spelled}"}}\n\n',
        "event: " + SPELLINGS[spelling](KEY).replace("\n", " ") + "\ndata: an error, not JSON\n\n",
    ):
        passing = crossing(dialect, dialect, stream=True, redactor=REDACTOR)
        out = passing.feed(stream.encode()) + passing.finish()
        assert not finds(KEY, out.decode("utf-8", "replace").replace("data:", "")), out


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("client", NAMES)
def test_in_a_reply_that_is_an_error_in_spite_of_its_status(client: str, provider: str) -> None:
    for spelling in SPELLINGS.values():
        for body in bodies(provider, spelling(KEY)):
            if not readable(body):
                continue
            passing = crossing(client, provider, redactor=REDACTOR)
            try:
                out = passing.reply(body)
            except AppError as error:
                out = DIALECTS[client].error_body(error, "")  # type: ignore[index]
            clean(passing, out)


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("client", NAMES)
def test_as_it_is_in_what_the_model_says(client: str, provider: str) -> None:
    theirs = DIALOGUES[provider]  # type: ignore[index]
    call, facts = Call(origin=provider, model="m"), Facts(model="m", id="1")
    whole = json.dumps(theirs.write_answer(Answer(id="i", parts=[Text(f"It is {KEY}, yes.")], usage=Usage(input=1, output=1)), call, facts))
    escaped = whole.replace(KEY, "".join(f"\\u{ord(sign):04x}" for sign in KEY))
    for body in (whole, escaped):
        out = crossing(client, provider, redactor=REDACTOR).reply(body.encode())
        assert not finds(KEY, json.dumps(json.loads(out)))
        assert b"It is " in out
    writer = theirs.writer(Call(origin=provider, model="m", stream=True), facts)
    stream = writer.write([Start("i", "m"), Said(f"It is {KEY}, yes."), Finish("stop")], Usage()) + writer.end(Usage(input=1, output=1))
    for body in (stream, stream.replace(KEY.encode(), "".join(f"\\u{ord(sign):04x}" for sign in KEY).encode())):
        passing = crossing(client, provider, stream=True, redactor=REDACTOR)
        out = passing.feed(body) + passing.finish()
        assert not any(finds(KEY, json.dumps(value)) for value in said(out))
        assert b"It is " in out
        assert passing.complete


def test_a_large_error_is_cut_and_says_so() -> None:
    body = json.dumps({"error": {"message": f"Bad {KEY}", "details": "x" * 200_000}}).encode()
    for client in NAMES:
        refusal = crossing(client, "openai", redactor=REDACTOR).refusal(400, body, "req_1")
        assert not finds(KEY, refusal.body.decode())
        assert len(refusal.body) < 1000
        assert f"its answer of {len(body):,} bytes" in refusal.error.message


# -- false hits


def corpus() -> list[bytes]:
    """What the project's own files say, in pieces of 8 KB: code, prose, tables, recorded answers."""
    out = []
    for path in (
        *ROOT.glob("*.*"),
        *(found for part in ("app", "packaging", "resources", "tests") for found in (ROOT / part).rglob("*.*")),
    ):
        if path.suffix in (".py", ".md", ".txt", ".json", ".jsonl", ".toml") and path.is_file() and path.stat().st_size < 2_000_000:
            data = path.read_bytes()
            out += [data[at : at + 8_192] for at in range(0, len(data), 8_192)]
    return out


def test_a_key_is_found_nowhere_where_it_is_not() -> None:
    import base64
    import random
    import uuid

    chance = random.Random(4)
    texts = [piece for piece in corpus() if not any(finds(key, piece.decode("utf-8", "ignore")) for key in (KEYS["hexadecimal"],))]
    texts += [base64.b64encode(chance.randbytes(6_000)) for _ in range(64)]
    texts += [chance.randbytes(4_000).hex().encode() for _ in range(64)]
    texts += ["\n".join(str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(200)).encode() for _ in range(32)]
    assert sum(map(len, texts)) > 1_500_000
    for key in KEYS.values():
        redactor = Redactor(Secret(key))
        assert [text for text in texts if redactor._known(text)] == []
    shapes = sum(1 for text in texts if SHAPES_ALONE.raw(text) != text)
    print(f"{sum(map(len, texts)):,} bytes, {len(texts)} texts; a shape in {shapes}")
