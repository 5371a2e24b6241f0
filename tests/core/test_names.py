"""Names of accounts and clients: short and plain where they become part of a model name."""

from __future__ import annotations

import pytest

from app.core.errors import AppError
from app.core.names import check_account_name, check_client_name


@pytest.mark.parametrize("name", ["a", "work", "OpenAI-2", "0x.y_z", "a" * 32])
def test_plain_account_names_are_taken(name: str) -> None:
    check_account_name(name)
    check_client_name(name)


@pytest.mark.parametrize("name", ["", "a" * 33, ".hidden", "-x", "a/b", "a b", "größe", "a\n", "a\0", "../x", "gatehouse", "GateHouse"])
def test_other_account_names_are_refused_with_a_hint(name: str) -> None:
    with pytest.raises(AppError) as caught:
        check_account_name(name)
    assert (caught.value.code, caught.value.param) == ("name_invalid", "name")
    assert caught.value.hint


@pytest.mark.parametrize("name", ["Zed", "Claude Code", "a" * 64, "my.tool_2 beta-1"])
def test_client_names_may_have_blanks_inside(name: str) -> None:
    check_client_name(name)


@pytest.mark.parametrize("name", ["", "a" * 65, " Zed", "Zed ", "a/b", "a\tb", "a\n", "=cmd", "ü"])
def test_other_client_names_are_refused(name: str) -> None:
    with pytest.raises(AppError, match="name_invalid"):
        check_client_name(name)
