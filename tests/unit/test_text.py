"""What others wrote reaches a person's terminal as text and as nothing else."""

import pytest

from federation.errors import Inconsistent, UnknownKey
from federation.text import is_printable, printable, printable_lines


@pytest.mark.parametrize(
    "text", ["溶接 モデル　（第２版）", "Müller & Söhne: 100 %", "a\\b", "", "㈱浜松精機 · 1–2", "𠮷野家"]
)
def test_what_people_write_is_left_as_it_is(text: str) -> None:
    assert is_printable(text)
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nNoise: none", "a\\nNoise: none"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_cannot_be_read_is_escaped(text: str, shown: str) -> None:
    assert not is_printable(text)
    assert printable(text) == shown
    assert is_printable(shown)


def test_our_own_lines_stay_lines() -> None:
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_error_brings_a_fact_to_the_terminal_raw(language: str) -> None:
    for error in (Inconsistent(where="job", detail="\x1b[2J\u202e"), UnknownKey("x\x1b[2J")):
        assert "\x1b" not in error.text(language)  # type: ignore[arg-type]
        assert "\\x1b[2J" in error.text(language)  # type: ignore[arg-type]
