"""Every regular expression of the program is in the table below, and takes time in proportion to the text it meets.

A pattern that meets text of a client or a provider is tried on texts made to make it try much; one that meets our own text alone is listed
with the reason. A pattern that is in neither list fails.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from app.core.secret import Secret
from app.wire.redact import Redactor
from tests.growth import LIMIT, attacks, cost, growth

ROOT = Path(__file__).resolve().parents[2]
_SCREENED = 2_000
_SUSPICIOUS_S = 0.01
_FUNCTIONS = frozenset({"compile", "search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split"})

How = Literal["search", "match", "fullmatch"]
Patterns = Callable[[], Iterator[re.Pattern[Any]]]


@dataclass(frozen=True, slots=True)
class Foreign:
    """examples: texts that fit, from which attacks are made. how: it is searched, or matched at a place, or with a whole text."""

    examples: tuple[str, ...]
    how: How = "search"
    patterns: Patterns | None = None


def _words(*names: str) -> Foreign:
    return Foreign(tuple(f'"{name}" : "ab\\"c\\\\d"' for name in names))


def _of_a_key() -> Iterator[re.Pattern[Any]]:
    head = Redactor(Secret("sk-proj-AbCdEfGh0123456789"))._head
    assert head is not None
    yield head


def _of_prices() -> Iterator[re.Pattern[Any]]:
    """All patterns of the price file, as one list."""

    def patterns(clause: object) -> Iterator[str]:
        if isinstance(clause, list):
            for part in clause[1:]:
                yield from patterns(part)
        elif isinstance(clause, str) and clause[0] not in "=^$*":
            yield clause[1:]

    for line in (ROOT / "resources" / "prices.jsonl").read_bytes().splitlines():
        for model in msgspec.json.decode(line).get("models", []):
            yield from map(re.compile, patterns(model[0]))


_MODELS = ("openai/gpt-5.1-codex-max", "a/o3-", "x/chatgpt-4o", "gemini-2.5-flash", "claude-sonnet-4-5-20250929", "gpt-4.1")

FOREIGN: dict[str, Foreign] = {
    # Redaction: errors, headers, error events, and for the needless escapes every piece of a stream.
    "app.wire.redact:_SHAPES": Foreign((
        "-sk-proj-abc123", "gsk_abcdef", " Bearer   abcdefgh", "-eyJ0123456789.abcdef", "sk-ab…••cdefg", "ya29.abcdef", "github_pat_ab",
    )),
    "app.wire.redact:_TOKENS": Foreign(("-eyJ0123456789.abcdef", "eyJ012345678901234567890")),
    "app.wire.redact:_STARRED": Foreign(("a****abc", "••••wxyz", "aaaaaaaaaaaaaaaaaaaa****")),
    "app.wire.redact:_BEFORE_STARS": Foreign(("abcdefghijklmnopqrst",), how="fullmatch"),
    "app.wire.redact:_NO_KEY": Foreign(("sk-ant-api03-....", "github_pat_***"), how="fullmatch"),
    "app.wire.redact:_MODEL": Foreign(("pplx-embed-v1.5-4b", "hf_a..b"), how="fullmatch"),
    "app.wire.redact:_NEEDLESS": Foreign(("\\u0041\\u0061",)),
    "app.wire.redact:_UNBROKEN": Foreign(("abcdefghijklmnop", "abcdefghijklmno-")),
    "app.wire.redact:Redactor.__init__": Foreign(("sk-proj-AbCdEfGh****",), patterns=_of_a_key),
    "app.wire.unescape:_ESCAPE": Foreign((
        "\\\\\\u0073", "\\u{000073}", "\\x73\\163\\n\\\"", "%252573", "%25%25%2", "&amp;amp;#115;",
        "&#x0000073;", "&#0000000115;", "&quot;&nbsp;",
    )),
    # Whole replies and events: what an estimate counts, and what is worth reading.
    "app.wire.openai_chat:OpenAIChat.words": _words("content", "reasoning_content"),
    "app.wire.openai_chat:_USAGE": Foreign(('"usage"   : {',)),
    "app.wire.openai_chat:_FINISH": Foreign(('"finish_reason"   : "',)),
    "app.wire.openai_chat_answer:_MARKS": Foreign(('{"a\\"b": [1]}',)),
    "app.wire.openai_responses:OpenAIResponses.words": _words("delta"),
    "app.wire.anthropic:Anthropic.words": _words("text", "partial_json"),
    "app.wire.gemini:Gemini.words": _words("text"),
    "app.wire.sse:_END": Foreign(("\n\r\n\r\r",)),
    "app.engine.responses:_ID": Foreign(('"id"  :  "resp_abc"',)),
    "app.engine.responses:_ENDED": Foreign(("event: response.completed\r\ndata: {}\n", "event: response.incomplete\ndata: x")),
    # Requests.
    "app.wire.bridge:_BLOB": Foreign(('"data:image/png;base64,' + "A" * 1030 + '"', '"' + "A" * 1030 + '"', '"data:' + "x" * 99)),
    "app.wire.outline:_PAIR": Foreign(('a\\"b', "\\\\")),
    "app.wire.body:_OPEN": Foreign(("  \n\t{",), how="match"),
    "app.wire.body:_NAME": Foreign((' "a\\"b\\\\" : ',), how="match"),
    "app.wire.body:_COLON": Foreign(("   :   ",), how="match"),
    "app.wire.body:_NEXT": Foreign(("   ,",), how="match"),
    "app.wire.carry:_UNFIT": Foreign(("call_ä b",)),
    "app.wire.carry:_NO_SEAL": Foreign(('"signature"  :  ""',)),
    "app.wire.carry:_FIT": Foreign(("call_abc-DEF",), how="fullmatch"),
    "app.wire.chat:_UNFIT": Foreign(("a.b c",)),
    "app.wire.gemini_read:_SNAKE": Foreign(("system_instruction__x",)),
    # Names of models.
    "app.wire.anthropic_write:_VERSION": Foreign((*_MODELS, "claude-aaaa-33-11")),
    "app.wire.openai_family:UNTHINKING": Foreign(_MODELS),
    "app.wire.openai_family:_EFFORTS": Foreign((*_MODELS, "gpt-5.111-codex")),
    "app.wire.openai_family:_MOST_TOKENS": Foreign(_MODELS),
    "app.wire.gemini_write:_THIRD": Foreign(_MODELS),
    "app.wire.gemini_write:_LATER": Foreign(_MODELS),
    "app.wire.gemini_write:_UNTHINKING": Foreign(_MODELS),
    "app.wire.openai_responses_write:_REASONS": Foreign(_MODELS),
    "app.providers.prices:_fits": Foreign(("claude-haiku-5-5-20261101", "typesafe/jev-1.13-tts-"), patterns=_of_prices),
    "app.providers.prices:_COMPACT_DATE": Foreign(("gpt-5.2-20251211:x",)),
    # What a provider's server, or the address of one, makes us send.
    "app.egress.http1:_TOKEN": Foreign(("x-name",), how="fullmatch"),
    "app.egress.http1:_METHOD": Foreign(("POST",), how="fullmatch"),
    "app.egress.http1:_TARGET": Foreign(("/v1/models?x=y",), how="fullmatch"),
    "app.egress.http1:_HOST": Foreign(("api.example.com:443",), how="fullmatch"),
    "app.core.records:_HOST": Foreign(("api-1.eu_west.example.com", "a-a-a-a", "a.b.c.d-"), how="fullmatch"),
    "app.core.ids:_SHAPE": Foreign(("req_01ARZ3NDEKTSV4RRFFQ69G5FAV",), how="fullmatch"),
    # Names that come over the control channel.
    "app.core.names:_ACCOUNT": Foreign(("open-ai.1",), how="fullmatch"),
    "app.core.names:_CLIMBING": Foreign(("/v1/models/..;a?x", "a/  .  .  /b", "\\..\\")),
    "app.core.names:_CLIENT": Foreign(("my client - 1",), how="fullmatch"),
    # A folder of an export, or what somebody made of it.
    "app.verifier:_ENTRY_LINE": Foreign(
        ('{"body":{"a":{}},"hash":"' + "0" * 64 + '","seq":12}\n', '{"body":{}},"hash":"'),
        how="fullmatch",
    ),
    "app.verifier:_RAW_LINE": Foreign(('{"hash":"00ff","raw":"00ff","seq":-12}\n',), how="fullmatch"),
    "app.verifier:_SIGNED_LINE": Foreign(
        ('{"body":{"a":{}},"signature":"' + "0" * 128 + '"}\n', '{"body":{}},"signature":"'),
        how="fullmatch",
    ),
}  # fmt: skip

_TYPED = "what the person types into a field of the window or on the command line"
_SYSTEMS = "access lists as Windows itself writes them"
OURS = {
    "app.wire.redact:_PUBLIC": "matched once against the account's own key, of 16 KB at most",
    "app.gui.finding:_STATUS": _TYPED,
    "app.gui.finding:_ID": _TYPED,
    "app.gui.sheets.set_price:_PRICE": _TYPED,
    "app.engine.figures:_PRICE": _TYPED,
    "app.cli.ledger:_size": _TYPED,
    "app.gui.leaving:_modules": "names of our own modules",
    "app.store.replay:_NAME": "names of files in our own folder",
    "app.engine.privacy:_SEGMENT": "names of files in our own folder",
    "app.system.access_list:_LIST": _SYSTEMS,
    "app.system.access_list:_PARTS": _SYSTEMS,
    "app.system.access_list:_ENTRY": _SYSTEMS,
    "app.system.certificates:_HASHED": "names of files in the system's folder of certificates",
    "app.system.reach:_SCREEN": "DISPLAY of our own environment",
    "app.system.sandbox:_REMOTE_SCREEN": "DISPLAY of our own environment",
    "app.verifier:_size": "bounded to 64 characters by the pattern itself",
    "app.gui.audit_rows:_NUMBER": _TYPED,
    "app.gui.audit_rows:wanted_number": _TYPED,
}


def found_in(source: str, module: str) -> Iterator[str]:
    """`module:NAME` of each pattern: the name it is given in a module or class, else the function it is made or used in."""

    def visit(node: ast.AST, place: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            inner = place
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{place}.{child.name}".lstrip(".")
            elif isinstance(child, ast.Assign | ast.AnnAssign) and isinstance(node, ast.Module | ast.ClassDef):
                target = child.targets[0] if isinstance(child, ast.Assign) else child.target
                inner = f"{place}.{ast.unparse(target)}".lstrip(".")
            elif isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and isinstance(child.func.value, ast.Name):
                if child.func.value.id == "re" and child.func.attr in _FUNCTIONS:
                    yield f"{module}:{place}"
            elif isinstance(child, ast.ImportFrom) and child.module == "re":
                yield f"{module}:from re import"
            elif isinstance(child, ast.Import) and any(name.name == "re" and name.asname for name in child.names):
                yield f"{module}:import re as"
            yield from visit(child, inner)

    return visit(ast.parse(source), "")


def all_patterns() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "app").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found.update(found_in(path.read_text(encoding="utf-8"), module))
    return found


def patterns_of(identity: str) -> Iterator[re.Pattern[Any]]:
    row = FOREIGN[identity]
    if row.patterns is not None:
        yield from row.patterns()
        return
    module, _, names = identity.partition(":")
    value: Any = importlib.import_module(module)
    for name in names.split("."):
        value = getattr(value, name)
    yield from flat(value)


def flat(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from flat(item)
    elif isinstance(getattr(value, "__self__", None), re.Pattern):
        yield value.__self__


def worst_growth(pattern: re.Pattern[Any], examples: tuple[str, ...], how: How = "search") -> tuple[float, str]:
    """How the cost grows on the texts that cost most, the most of it; and on which."""

    def making(attack: Callable[[int], str]) -> Callable[[int], Callable[[], object]]:
        def make(n: int) -> Callable[[], object]:
            text = attack(n)
            given: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
            if how == "search":
                return lambda: sum(1 for _ in pattern.finditer(given))
            return lambda: getattr(pattern, how)(given)

        return make

    seen: list[tuple[float, int]] = []
    texts = [attack for example in examples for attack in attacks(example)]
    makers = [making(attack) for attack in texts]
    for at, make in enumerate(makers):
        seen.append((cost(make, _SCREENED, 1), at))
        if seen[-1][0] > _SUSPICIOUS_S:
            break
    seen.sort(reverse=True)
    few = seen[:1] if seen[0][0] > _SUSPICIOUS_S else seen[:3]
    return max((growth(makers[at], _SCREENED, long_enough_s=0.004), texts[at](60)) for _, at in few)


def test_every_pattern_is_in_the_table() -> None:
    assert all_patterns() - set(FOREIGN) - set(OURS) == set(), "say what text it meets, with an example that fits"
    assert set(FOREIGN) | set(OURS) <= all_patterns(), "this pattern is gone"
    assert not set(FOREIGN) & set(OURS)


def test_a_pattern_would_be_found_wherever_it_is_written() -> None:
    source = (
        "import re\nA = re.compile('a')\n"
        "class C:\n    b: object = re.compile('b').search\n    def f(self):\n        return re.sub('c', 'd', 'e')\n"
        "D = (('x', re.compile('d')),)\n"
    )
    assert list(found_in(source, "m")) == ["m:A", "m:C.b", "m:C.f", "m:D"]
    assert list(found_in("from re import compile\n", "m")) == ["m:from re import"]
    assert list(found_in("import re as r\n", "m")) == ["m:import re as"]


@pytest.mark.parametrize("identity", FOREIGN)
def test_a_pattern_takes_time_in_proportion(identity: str) -> None:
    row = FOREIGN[identity]
    patterns = list(patterns_of(identity))
    assert patterns
    for pattern in patterns:
        ratio, where = worst_growth(pattern, row.examples, row.how)
        assert ratio < LIMIT, (pattern.pattern, where)


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        (rb"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-.*]{6,}", "-eyJ0123456789.abcdef"),
        (rb"\s+$", " a"),
        (rb'"[^"]*\\+u', '"\\u'),
        (rb"(?:%25)*41", "%2541"),
    ],
)
def test_one_that_does_not_would_be_seen(pattern: bytes, example: str) -> None:
    """The first is what redaction once used: a megabyte took it two minutes."""
    assert worst_growth(re.compile(pattern), (example,))[0] > LIMIT
