"""What identifies a person or a machine stays here; every other byte goes as it came."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wire.identifiers import Hidden, Pseudonyms, hide

NAMES = Pseudonyms(b"k" * 32)
DEVICE = "user_0f3a9c_account_3b1c7e52-1a_session_9a0e"

# As coding agents and SDKs send them, shortened in the prompt only.
AGENT = (
    b'{"model":"claude-sonnet-4-5","max_tokens":32000,\n '
    b'"metadata":{"user_id":"{\\"device_id\\":\\"0f3a9c\\",\\"session_id\\":\\"9a0e\\"}"},'
    b'"system":[{"type":"text","text":"You are","cache_control":{"type":"ephemeral"}}],'
    b'"tools":[{"name":"Bash","input_schema":{"type":"object",'
    b'"properties":{"user":{"type":"string"},"user_id":{"type":"string"}}}}],'
    b'"messages":[{"role":"user","content":"my \\"user\\": \\"keep\\""}],"stream":true}'
)
CODER = (
    b'{"model":"gpt-5","instructions":"You are","input":[{"role":"user","content":"hi"}],"tools":[],"store":false,"stream":true,'
    b'"prompt_cache_key":"0199-session","client_metadata":{"x-installation-id":"b1c2-d3e4","nested":{"list":["a",7,true,null]}}}'
)
SDK = b'{ "user" : "ann@example.org" , "model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"safety_identifier":"h45h" }'


def hidden(body: bytes, choice: Any = "pseudonym", client: str = "agent") -> Hidden:
    return hide(body, msgspec.json.decode(body, type=dict[str, msgspec.Raw]), choice, NAMES, client)


def test_an_agents_device_and_session_become_one_pseudonym_and_nothing_else_changes() -> None:
    found = hidden(AGENT)
    assert found.names == ("metadata.user_id",)
    assert b"device_id" not in found.body
    assert b"0f3a9c" not in found.body
    start = AGENT.index(b'"user_id":') + len(b'"user_id":')
    end = AGENT.index(b'}"},"system"') + 2
    mine = json.dumps(NAMES.of_client("agent")).encode()
    assert found.body == AGENT[:start] + mine + AGENT[end:]  # the rest is byte-identical: caching and tools are as before


def test_an_installation_id_goes_and_the_cache_key_still_chooses_the_cache() -> None:
    found = hidden(CODER)
    assert found.names == ("client_metadata", "prompt_cache_key")
    told = json.loads(found.body)
    assert told["client_metadata"]["x-installation-id"] == NAMES.of_client("agent")
    assert told["client_metadata"]["nested"] == {"list": [NAMES.of_client("agent"), NAMES.of_client("agent"), True, None]}
    assert told["prompt_cache_key"] == NAMES.of_value("agent", "0199-session")
    other = json.loads(hidden(CODER.replace(b"0199-session", b"0200-session")).body)
    again = json.loads(hidden(CODER).body)
    assert other["prompt_cache_key"] != told["prompt_cache_key"] == again["prompt_cache_key"]
    assert found.body.startswith(CODER[: CODER.index(b'"prompt_cache_key":')])


def test_users_of_an_sdk_are_one_person_to_the_provider() -> None:
    found = hidden(SDK)
    assert found.names == ("user", "safety_identifier")
    mine = json.dumps(NAMES.of_client("agent")).encode()
    assert found.body == SDK.replace(b'"ann@example.org"', mine).replace(b'"h45h"', mine)


def test_a_pseudonym_is_stable_for_a_client_and_says_nothing() -> None:
    assert NAMES.of_client("a") == NAMES.of_client("a") != NAMES.of_client("b")
    assert NAMES.of_client("a") != Pseudonyms(b"l" * 32).of_client("a")
    assert NAMES.of_client("a") != NAMES.of_value("a", "")
    assert len(NAMES.of_client("a" * 500)) == 35


@pytest.mark.parametrize("body", [AGENT, CODER, SDK])
def test_passing_changes_nothing(body: bytes) -> None:
    assert hidden(body, "pass") == Hidden(body, ())


def test_removing_takes_the_members_out_and_leaves_every_other_byte() -> None:
    assert hidden(SDK, "remove").body == b'{ "model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}] }'
    found = hidden(CODER, "remove")
    assert found.body == CODER[: CODER.index(b',"prompt_cache_key"')] + b"}"
    assert found.names == ("client_metadata", "prompt_cache_key")
    assert b'"metadata":{}' in hidden(AGENT, "remove").body
    only = b'{"model":"m","user":"x"}'
    assert hidden(only, "remove").body == b'{"model":"m"}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[]}',
        b'{"model":"m","metadata":{"job":"nightly"}}',
        b'{"model":"m","metadata":null,"user":null,"safety_identifier":"","client_metadata":{},"prompt_cache_key":null}',
        b'{"model":"m","metadata":"user_id"}',
        b'{"model":"m","metadata":[{"user_id":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x","user":"in a prompt"}]}',
    ],
)
def test_what_identifies_nobody_is_not_touched(body: bytes) -> None:
    for choice in ("pseudonym", "remove"):
        assert hidden(body, choice) == Hidden(body, ())


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","user":"a","user":"b"}',
        b'{"model":"m","us\\u0065r":"secret"}',
        b'{"model":"m","metadata":{"user_id":"a","us\\u0065r_id":"b"}}',
        b'{"model":"m","user":{"id":"secret"}}',
        b'{"model":"m","user":12345}',
        b'{"model":"m","client_metadata":"secret"}',
        b'{"model":"m","client_metadata":["secret"]}',
        b'{"model":"m","prompt_cache_key":{"device":"secret"}}',
        b'{"model":"m","prompt_cache_key":["secret"]}',
        b'{"model":"m","prompt_cache_key":12345}',
        b'{"model":"m","user":"secret","user":null}',
        b'{"user":"secret","model":"m","us\\u0065r":""}',
        b'{"model":"m","safety_identifier":"secret","safety_identifier":{}}',
        b'{"model":"m","client_metadata":{"x":"secret"},"client_metadata":[]}',
        b'{"model":"m","metadata":{"user_id":"secret"},"metadata":null}',
        b'{"model":"m","metadata":{"user_id":"secret"},"metadata":{"team":"blue"}}',
        b'{"model":"m","metadata":{"user_id":"secret","user_id":null}}',
        b'{"model":"m","metadata":{"us\\u0065r_id":"secret","team":"blue","user_id":""}}',
    ],
)
@pytest.mark.parametrize("choice", ["pseudonym", "remove"])
def test_no_spelling_gets_past(body: bytes, choice: str) -> None:
    hid = hidden(body, choice)
    found = hid.body
    assert hid.names
    assert b"secret" not in found
    told = json.loads(found)
    for value in ("a", "b", "secret", 12345):
        assert value not in json.dumps(told).replace("model", "").split('"')
        assert str(value) not in [str(each) for each in _leaves(told)]


def test_a_deep_value_is_no_way_to_crash() -> None:
    body = b'{"model":"m","client_metadata":' + b'{"a":' * 900 + b'"secret"' + b"}" * 900 + b"}"
    assert b"secret" not in hidden(body).body
    assert b"secret" not in hidden(body, "remove").body


@given(
    user=st.text(min_size=1),
    key=st.text(),
    prompt=st.text(),
    spaces=st.sampled_from(["", " ", "\n\t "]),
    choice=st.sampled_from(["pseudonym", "remove"]),
)
def test_whatever_is_in_it_the_rest_means_the_same(user: str, key: str, prompt: str, spaces: str, choice: str) -> None:
    told = {"model": "m", "user": user, "messages": [{"role": "user", "content": prompt}], "metadata": {"user_id": user, "x": key}}
    body = json.dumps(told, separators=("," + spaces, ":" + spaces), ensure_ascii=True).encode()
    after = json.loads(hidden(body, choice).body)
    assert after["messages"] == told["messages"]
    assert after["metadata"]["x"] == key
    mine = NAMES.of_client("agent")
    assert after.get("user") == (mine if choice == "pseudonym" else None)
    assert after["metadata"].get("user_id") == (mine if choice == "pseudonym" else None)
    msgspec.json.decode(hidden(body, choice).body)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]
