"""Our questions and general text, and a user's own: what may stand in the files."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from aggregator.simulate.answers import exact, folded, is_number, same_number, same_part
from aggregator.simulate.probes import OURS
from aggregator.simulate.questions import Kind, ProbesInvalid, Question, read_paragraphs, read_questions

GIVEN: dict[str, Any] = {
    "id": "a",
    "kind": "number",
    "context": "一行目\n二行目は 5 mm",
    "question": "いくつか。",
    "answers": ["5 mm"],
    "distractors": ["6 mm", "7 mm", "8 mm"],
}


@pytest.fixture(scope="module")
def ours() -> tuple[Question, ...]:
    return read_questions(OURS)


def test_there_are_some_of_each_kind_and_none_twice(ours: tuple[Question, ...]) -> None:
    assert len(ours) >= 60
    assert min(Counter(question.kind for question in ours).values()) >= 9
    assert {question.kind for question in ours} == set(get_args(Kind)) - {"solution"}
    assert len({(folded(question.context), folded(question.question)) for question in ours}) == len(ours)


def test_every_answer_stands_in_its_context_and_so_does_every_distractor(ours: tuple[Question, ...]) -> None:
    absent = [(q.id, option) for q in ours for option in q.options if folded(option) not in folded(q.context)]
    assert absent == []


def test_no_distractor_is_right_and_no_two_are_the_same(ours: tuple[Question, ...]) -> None:
    for question in ours:
        assert len(set(map(folded, question.options))) == 4
        for distractor in question.distractors:
            assert not exact(distractor, question.answers)
            assert not same_number(distractor, question.answers)
            assert question.kind != "part" or not same_part(distractor, question.answers)


def test_the_right_answer_has_the_kind_that_is_said(ours: tuple[Question, ...]) -> None:
    for question in ours:
        assert question.kind != "number" or is_number(question.answers[0])
        assert question.kind != "part" or same_part(question.answers[0], question.answers)


def test_the_right_answer_is_not_given_away_by_its_length_or_place(ours: tuple[Question, ...]) -> None:
    """Chosen by length, or by what stands first or last in the context, about a quarter would be right."""
    cues = {
        "longest": lambda q, option: len(option),
        "shortest": lambda q, option: -len(option),
        "first": lambda q, option: -folded(q.context).find(folded(option)),
        "last": lambda q, option: folded(q.context).rfind(folded(option)),
    }
    for name, cue in cues.items():
        right = 0.0
        for question in ours:
            marks = [cue(question, option) for option in question.options]
            right += (marks[0] == max(marks)) / marks.count(max(marks))
        assert 0.15 < right / len(ours) < 0.4, (name, right / len(ours))


def test_the_general_text_is_long_and_varied() -> None:
    paragraphs = read_paragraphs(OURS)
    assert sum(map(len, paragraphs)) >= 4_900
    assert len(set(paragraphs)) == len(paragraphs) == 40


def test_the_prompt_holds_context_and_question_and_ends_where_the_answer_begins() -> None:
    question = Question(**GIVEN)
    assert question.prompt.endswith("文書：一行目\n二行目は 5 mm\n質問：いくつか。\n答え：")


def test_without_a_question_the_context_is_all_that_a_model_is_shown() -> None:
    assert Question(**{**GIVEN, "question": None}).prompt == GIVEN["context"]


def write(folder: Path, *lines: str) -> Path:
    (folder / "questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_a_user_s_own_questions_are_read(tmp_path: Path) -> None:
    other = {**GIVEN, "id": "b", "context": "別の文書"}
    found = read_questions(write(tmp_path, json.dumps(GIVEN), "", json.dumps(other, ensure_ascii=False)))
    assert [question.id for question in found] == ["a", "b"]
    assert found[0].options == ("5 mm", "6 mm", "7 mm", "8 mm")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": "numbers"}, "kind has to be one of"),
        ({"answers": []}, "it needs an answer"),
        ({"distractors": "6 mm"}, "have to be lists"),
        ({"kind": "solution", "answers": ["none"]}, "come to a number"),
        ({"answers": "5 mm"}, "have to be lists"),
        ({"question": ""}, "not empty"),
        ({"question": 5}, "has to be text"),
        ({"answers": ["5\nmm"]}, "one line each"),
        ({"note": "x"}, "it needs the keys"),
    ],
)
def test_a_line_that_is_no_question_is_refused_by_its_number(tmp_path: Path, change: Any, what: str) -> None:
    with pytest.raises(ProbesInvalid, match=rf"line 2: .*{what}"):
        read_questions(write(tmp_path, json.dumps(GIVEN), json.dumps({**GIVEN, **change})))


@pytest.mark.parametrize("line", ["{", "[]", "[" * 100_000])
def test_what_is_no_object_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ProbesInvalid, match="line 1"):
        read_questions(write(tmp_path, line))


def test_an_id_twice_or_one_text_alone_is_refused(tmp_path: Path) -> None:
    for other in ({**GIVEN, "context": "別の文書"}, {**GIVEN, "id": "b"}):
        with pytest.raises(ProbesInvalid, match="two texts or more, each with an id of its own"):
            read_questions(write(tmp_path, json.dumps(GIVEN), json.dumps(other)))


def test_a_file_that_is_missing_or_in_another_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProbesInvalid, match="No such file"):
        read_questions(tmp_path)
    (tmp_path / "general.txt").write_bytes("日本語".encode("cp932"))
    with pytest.raises(ProbesInvalid, match=r"general\.txt .* not UTF-8"):
        read_paragraphs(tmp_path)


def test_paragraphs_are_parted_by_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "general.txt").write_text("一\n二\r\n \n\n三\n", encoding="utf-8")
    assert read_paragraphs(tmp_path) == ("一\n二", "三")
    (tmp_path / "general.txt").write_text("一\n二", encoding="utf-8")
    with pytest.raises(ProbesInvalid, match="two paragraphs"):
        read_paragraphs(tmp_path)
