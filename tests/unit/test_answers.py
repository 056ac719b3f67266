"""What counts as a right answer: cases by hand."""

from decimal import Decimal

import pytest

from aggregator.simulate.answers import (
    character_f1,
    exact,
    folded,
    is_number,
    same_number,
    same_part,
    same_solution,
    solved,
)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("０．０２㎜", "0.02mm"),
        (" 主軸  ﾍｯﾄﾞ。", "主軸ヘッド"),
        ("「ＭＶ－５２０」", "MV-520"),
        ("2025-06-03  14:00", "2025-06-03 14:00"),
        ("60 N・m", "60N·m"),
        ("１０²", "10²"),
        ("①", "①"),
        ("㎡", "m²"),
        ("５〜８ µm", "5~8μm"),
    ],
)
def test_width_blanks_and_compatibility_characters_do_not_matter_and_no_value_changes(text: str, form: str) -> None:
    assert folded(text) == form


def test_an_exact_match_is_one_of_the_answers_whole() -> None:
    assert exact("３０分間。", ["30 分", "30 分間"])
    assert not exact("30 分です", ["30 分", "30 分間"])
    assert not exact("", ["30 分"])
    assert not exact("MW", ["mW"])


def test_character_f1_counts_each_character_as_often_as_it_occurs_in_both() -> None:
    assert character_f1("扉を閉める", ["扉を閉める"]) == 1
    assert character_f1("扉", ["扉を閉める"]) == pytest.approx(2 * 1 / (1 + 5))
    assert character_f1("ああ", ["あ"]) == pytest.approx(2 * 1 / (2 + 1))
    assert character_f1("扉", ["窓", "扉"]) == 1
    assert character_f1("", ["扉"]) == character_f1("窓", ["扉"]) == 0


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("０．０２㎜", "0.02 mm"),
        ("0.020 mm です。", "0.02 mm"),
        ("1200", "1,200"),
        ("約 1,200 r/min", "1200 r/min"),
        ("85 % 以下", "85 %"),
        ("−5℃", "-5 ℃"),
        ("20 N·m、油あり", "20 N・m"),
        ("4.9 m/s²", "4.9 m/s²"),
        ("±10 %", "±10 %"),
    ],
)
def test_a_number_is_right_by_value_and_unit(written: str, answer: str) -> None:
    assert is_number(answer)
    assert same_number(written, [answer])


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("12", "1,200"),
        ("1,20", "120"),
        ("1,2000", "1,200"),
        ("5 cm", "5 mm"),
        ("5", "5 mm"),
        ("5 mm", "5"),
        ("5 mPa", "5 MPa"),
        ("-5 ℃", "5 ℃"),
        ("10 %", "±10 %"),
        ("10²", "10"),
        ("10²", "102"),
        ("MC-07", "7"),
        ("1.2.3", "1.2"),
        ("10 分、次に 15 分", "15 分"),
        ("十五分", "15 分"),
        ("", "15 分"),
    ],
)
def test_another_value_unit_sign_or_a_later_number_is_wrong(written: str, answer: str) -> None:
    assert not same_number(written, [answer])


@pytest.mark.parametrize("text", ["14:06", "MC-07", "2025-06-03", "3 回と 4 回", "下降", "5～8 mm"])
def test_times_part_numbers_and_ranges_are_no_numbers(text: str) -> None:
    assert not is_number(text)


def test_a_part_number_is_exact_up_to_width_and_case() -> None:
    assert same_part("ｋｐ－１１４０－ａ です", ["KP-1140-A"])
    assert same_part("部品番号は DR-8.5-HSS。", ["DR-8.5-HSS"])
    for wrong in ("KP1140A", "KP-1140", "KP-1140-AB", "1 個の KP-1140-A", "KP - 1140-B", "羽根車"):
        assert not same_part(wrong, ["KP-1140-A"])


@pytest.mark.parametrize(
    ("solution", "number"),
    [
        ("16 - 3 - 4 = 9, 9 * 2 = 18. The answer is 18", "18"),
        ("the answer is $1,250.50 and not 7", "1250.50"),
        ("3 and 4 make 7", "7"),
        ("The answer is -5.", "-5"),
        ("7, so the answer is seven", None),
        ("", None),
    ],
)
def test_a_solution_comes_to_the_number_behind_the_answer_is_or_to_its_last(solution: str, number: str | None) -> None:
    assert solved(solution) == (None if number is None else Decimal(number))


def test_the_same_number_in_another_form_is_the_same_solution() -> None:
    assert same_solution("So 1,200.0", ["6 * 200 = 1200. The answer is 1200"])
    assert not same_solution("nothing", ["The answer is 1200"])
    assert not same_solution("12", ["The answer is 1200"])
