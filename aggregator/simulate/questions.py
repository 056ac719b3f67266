"""Questions about a text that stands beside them, and general prose: what a run's adapters are tried on afterwards.

A folder holds `questions.jsonl` and `general.txt`; ours is demo/probes (CC0), a user's own comes by `probes=PATH`.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from aggregator.simulate.answers import solved
from federation.errors import RengoError

QUESTIONS, GENERAL = "questions.jsonl", "general.txt"
Kind = Literal["number", "part", "term", "step", "log", "solution"]
"""What is right, see probes.py. A solution is several steps on one line and comes to a number."""

# One worked example: it shows the form of an answer to a base model, which knows no instructions.
_PROMPT = """文書：非常停止釦は操作盤の右端にある。予備の鍵は守衛室で借りる。
質問：予備の鍵はどこで借りるか。
答え：守衛室

文書：{context}
質問：{question}
答え："""


class ProbesInvalid(RengoError):
    """{path} cannot be used for probes: {detail}. docs/evaluation.md has the format; `probes=none` does without."""

    ja = (
        "{path} は評価用の質問・文章として使えません: {detail_ja}。"
        "形式は docs/evaluation.md、使わない場合は `probes=none`。"
    )
    exit_code = 8


@dataclass(frozen=True)
class Question:
    """A question whose answer stands in `context`; where `question` is None, `context` is all that a model is shown.
    `answers`: all that are right, the first as the context has it. `distractors`: wrong ones of the same kind; without
    any, no choice is asked."""

    id: str
    kind: Kind
    context: str
    question: str | None
    answers: tuple[str, ...]
    distractors: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """What a model continues with its answer, up to the end of the line."""
        if self.question is None:
            return self.context
        return _PROMPT.format(context=self.context, question=self.question)

    @property
    def options(self) -> tuple[str, ...]:
        """The answers to choose from; the first is right."""
        return self.answers[0], *self.distractors


def read_questions(folder: Path) -> tuple[Question, ...]:
    """One JSON object a line. Raises ProbesInvalid."""
    path = folder / QUESTIONS
    found = [_question(path, number, line) for number, line in enumerate(_lines(path), 1) if line.strip()]
    if len({question.context for question in found}) < 2 or len({question.id for question in found}) < len(found):
        raise ProbesInvalid(
            path=path,
            detail="it has to hold questions about two texts or more, each with an id of its own",
            detail_ja="二つ以上の文書についての質問が必要です（id は重複不可）",
        )
    return tuple(found)


def read_paragraphs(folder: Path) -> tuple[str, ...]:
    """The paragraphs of the general text, empty lines between them. Raises ProbesInvalid."""
    path = folder / GENERAL
    paragraphs = "\n".join(line.strip() for line in _lines(path)).split("\n\n")
    found = tuple(text for paragraph in paragraphs if (text := paragraph.strip()))
    if len(found) < 2:
        raise ProbesInvalid(
            path=path,
            detail="it has to hold two paragraphs or more",
            detail_ja="空行で区切った段落が二つ以上必要です",
        )
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        why = error.strerror or str(error)
        raise ProbesInvalid(path=path, detail=why, detail_ja=f"読み込めません（{why}）") from error
    except UnicodeDecodeError as error:
        raise ProbesInvalid(path=path, detail="it is not UTF-8", detail_ja="UTF-8 ではありません") from error


def _question(path: Path, number: int, line: str) -> Question:
    try:
        given = json.loads(line)
        if not isinstance(given, dict) or given.keys() != {field.name for field in fields(Question)}:
            raise ValueError(f"it needs the keys {', '.join(field.name for field in fields(Question))}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        question = Question(**values)
        _check(question)
    except (ValueError, RecursionError) as error:
        detail, detail_ja = f"line {number}: {error}", f"{number} 行目: {error}"
        raise ProbesInvalid(path=path, detail=detail, detail_ja=detail_ja) from error
    return question


def _check(question: Question) -> None:
    """Raises ValueError for values that are no question."""
    one_line = [question.question] if question.question is not None else []
    for several in (question.answers, question.distractors):
        if not isinstance(several, tuple):
            raise ValueError("answers and distractors have to be lists")
        one_line += several
    if not all(isinstance(text, str) and text.strip() for text in (question.id, question.context, *one_line)):
        raise ValueError("every value has to be text, and not empty")
    if question.kind not in get_args(Kind):
        raise ValueError(f"kind has to be one of {', '.join(get_args(Kind))}")
    if not question.answers:
        raise ValueError("it needs an answer")
    if any("\n" in text for text in one_line):
        raise ValueError("question, answers and distractors have to be one line each")
    if question.kind == "solution" and None in map(solved, question.answers):
        raise ValueError("the answers to a solution have to come to a number")
