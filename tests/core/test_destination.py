"""A base URL becomes exactly one place that may be dialled, or is refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.records import Destination


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.openai.com/v1", Destination("https", "api.openai.com", 443)),
        ("https://API.OpenAI.com./v1/", Destination("https", "api.openai.com", 443)),
        ("http://localhost:11434", Destination("http", "localhost", 11434)),
        ("https://my_host.internal-1", Destination("https", "my_host.internal-1", 443)),
        ("http://10.0.0.7", Destination("http", "10.0.0.7", 80)),
        ("https://[2001:db8::1]:8443/x", Destination("https", "2001:db8::1", 8443)),
    ],
)
def test_a_base_url_names_one_place(url: str, expected: Destination) -> None:
    assert Destination.of(url, local=False) == expected
    assert Destination.of(url, local=True).local


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "ftp://api.openai.com",
        "file:///etc/passwd",
        "unix:///run/x",
        "https://",
        "https:///v1",
        "https://user@api.openai.com",
        "https://user:pass@api.openai.com",
        "https://@api.openai.com",
        "https://api.openai.com?x=1",
        "https://api.openai.com#x",
        "https://api.openai.com:99999",
        "https://api.openai.com:0x50",
        "https://api.open ai.com",
        "https://api.openai.com\r\nHost: evil",
        "https://[::1",
        "https://[nonsense]/",
        "https://.",
        "https://..",
        "https://a..b",
        "https://-a.example",
        "https://api.openai.com\\@evil.example",
        "https://api%2eopenai.com",
        "https://bücher.example",
        "https://[fe80::1%eth0]",
        "https://api.openai.com:0",
        "https://" + "a." * 127 + "aa",
    ],
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Destination.of(url, local=False)


def test_a_place_is_written_as_a_url_that_names_it_again() -> None:
    for url in ("https://api.openai.com", "http://[::1]:8080", "http://127.0.0.1:4141"):
        destination = Destination.of(url, local=False)
        assert Destination.of(str(destination), local=False) == destination


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    for url in (text, "https://" + text):
        try:
            destination = Destination.of(url, local=False)
        except ValueError:
            continue
        assert destination.scheme in ("http", "https")
        assert 0 < destination.port < 65536
        assert destination.host
        assert not any(character.isspace() or character in "@/?#\\" for character in destination.host)
