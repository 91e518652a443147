"""Sentences for people, whatever the names in them are."""

from __future__ import annotations

import pytest

from segstudio.core.errors import FormatError, UserError


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("猫 é 🐈.png", "猫 é 🐈.png"),
        ("half \ud800", "half \ufffd"),
        ("not UTF-8 \udcff", "not UTF-8 \ufffd"),
        ("\x1b[31mred\0", "\ufffd[31mred\ufffd"),
        ("x" * 5000, "x" * 1000 + "…"),
    ],
)
def test_a_sentence_can_be_shown_and_stored_whatever_a_file_is_called(name: str, shown: str) -> None:
    error = FormatError(name, name)
    assert (error.message, error.hint) == (shown, shown)
    assert str(error) == f"{shown} {shown}"
    assert str(error).encode()


def test_an_error_without_advice_is_its_message() -> None:
    assert str(UserError("Nothing fits.")) == "Nothing fits."
