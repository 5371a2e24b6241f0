"""Errors: one table of codes, each with what a client program and a person need."""

from __future__ import annotations

import typing

import pytest

from app.core.errors import CODES, AppError, Fault


def test_every_code_has_an_error_status_and_a_fault() -> None:
    for name, code in CODES.items():
        assert name.isidentifier()
        assert name == name.lower()
        assert 400 <= code.status <= 599
        assert code.fault in typing.get_args(Fault)
        assert code.openai_type.endswith("_error")


def test_an_error_carries_its_codes_values_and_its_own() -> None:
    error = AppError("model_unknown", "There is no model x.", "Ask for one of /v1/models.", param="model", retry_after_s=2.5)
    assert (error.status, error.fault, error.openai_type, error.param, error.retry_after_s) == (
        400, "caller", "invalid_request_error", "model", 2.5,
    )  # fmt: skip
    assert error.sentence() == "There is no model x. Ask for one of /v1/models."
    assert str(error) == "model_unknown: There is no model x. Ask for one of /v1/models."
    assert AppError("internal", "Oh.").sentence() == "Oh."
    assert AppError("provider_error", "Teapot.", status=418).status == 418


def test_an_unknown_code_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        AppError("no_such_code", "x")


def test_an_error_of_this_machine_is_never_the_callers_fault() -> None:
    for name, code in CODES.items():
        if name.startswith(("store_", "vault_")) and name != "vault_passphrase":
            assert (code.status, code.fault) == (503, "machine")
