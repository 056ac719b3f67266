"""Test text that somebody trains on is found, wherever line breaks fall."""

import random

import pytest

from aggregator.simulate.overlap import SPAN, seen_share

DRAW = random.Random(1)


def text(length: int) -> str:
    return "".join(DRAW.choices([chr(code) for code in range(0x3042, 0x3090)], k=length))


def test_nothing_shared_is_nothing_seen() -> None:
    assert seen_share([text(5_000)], [text(50_000)]) == 0.0


def test_a_copied_passage_is_found_at_any_offset_and_line_width() -> None:
    passage = text(SPAN + 9)
    wrapped = "\n ".join(passage[i : i + 11] for i in range(0, len(passage), 11))
    assert seen_share([text(33) + passage + text(208)], [text(70) + wrapped + text(3)]) == pytest.approx(10 / 251)


def test_one_character_less_than_a_span_is_not_a_passage() -> None:
    passage = text(SPAN - 1)
    assert seen_share([text(100) + passage + text(100)], [text(99) + passage + text(99)]) == 0.0


def test_short_and_missing_texts() -> None:
    assert seen_share(["短い"], [text(100)]) == 0.0
    assert seen_share([text(100)], []) == 0.0
    assert seen_share([], [text(100)]) == 0.0
