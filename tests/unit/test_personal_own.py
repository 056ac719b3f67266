"""The site's own words: where they are found, and where only something like them stands."""

import pytest

from clients.ingest.personal.own import Vocabulary

OWN = Vocabulary(["トヨタ", "E-#####", "山田", "富士通", "E-TECH"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ﾄﾖﾀではなくトヨタ", ["トヨタ"]),
        ("トヨ\nタ", ["トヨ\nタ"]),
        ("ト　ヨ　タ", ["ト　ヨ　タ"]),
        ("富士\n    通です", ["富士\n    通"]),
        ("Ｅ－１２３４５、E−12345、Eー12345", ["Ｅ－１２３４５", "E−12345", "Eー12345"]),
        ("e-tech", ["e-tech"]),
    ],
)
def test_a_word_is_found_in_any_width_and_over_a_line_end(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in OWN.spans(text)] == found


@pytest.mark.parametrize("text", ["富士山 田中", "ト\n\n\nヨタ", "E-123456", "AE-12345", "山\n田"])
def test_what_only_stands_side_by_side_is_no_word(text: str) -> None:
    assert list(OWN.spans(text)) == []
