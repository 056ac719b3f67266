"""What the adapters know beside the members' test texts: questions about a text that stands beside them, and whether
general prose is still read as before.

Each question is asked twice. The model writes an answer by itself, which a small base model cannot; and of four answers
it takes the one that it finds likeliest by the character, so that something is measured at every size.
Base and federated adapter only: of the other arms just the losses are kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aggregator.simulate import answers
from aggregator.simulate.arms import Bench
from aggregator.simulate.config import ProbesChoice
from aggregator.simulate.differences import LEVEL, jackknifed, student_quantile
from aggregator.simulate.questions import QUESTIONS, Question, read_paragraphs, read_questions
from clients.dataset import IGNORED, Blocks, Source, Tokenizer, begun, pack
from federation.tensors import Tensors

if TYPE_CHECKING:  # torch takes seconds, and `rengo compare` does without
    from clients.trainer import Trainer

OURS = Path(__file__).parent / "demo" / "probes"
ANSWER_TOKENS = 32
"""As many tokens as a model may write for an answer, at most."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Probes:
    """What a run asks and reads; empty where it is not to."""

    questions: tuple[Question, ...]
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Answered:
    """One question under one adapter: what the model wrote, and the nats of each option, the right one first."""

    written: str
    nats: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """One adapter: its answers, and the nats of each paragraph."""

    answered: tuple[Answered, ...]
    nats: tuple[float, ...]


def read(choice: ProbesChoice, learner: "Trainer") -> Probes:
    """Before any training. Raises ProbesInvalid, and ModelFolderInvalid where a question is longer than the model
    reads."""
    folder = Path(choice.path) if choice.path else OURS
    questions = read_questions(folder) if choice.questions else ()
    for question in questions:
        longest = max(len(ids) for ids in _whole(learner.tokenizer, question))
        learner.check_length(max(longest, len(begun(question.prompt, learner.tokenizer)) + ANSWER_TOKENS), QUESTIONS)
    return Probes(questions, read_paragraphs(folder) if choice.general else ())


def measure(bench: Bench, probes: Probes, adapters: Mapping[str, Tensors]) -> dict[str, Measured]:
    """Each of the `adapters` on everything."""
    return {name: _measure(bench, probes, factors) for name, factors in adapters.items()}


def _measure(bench: Bench, probes: Probes, factors: Tensors) -> Measured:
    answered = []
    asked = bench.in_order(lambda question: ask(bench.learner, factors, question), probes.questions)
    for count, answer in enumerate(asked, start=1):
        answered.append(answer)
        bench.tell("probes", count, len(probes.questions))
    length = bench.plan.train.sequence_length
    nats = paragraph_nats(bench.learner, factors, probes.paragraphs, length) if probes.paragraphs else ()
    return Measured(tuple(answered), nats)


def ask(learner: "Trainer", factors: Tensors, question: Question) -> Answered:
    """The answer that is written, and how likely each option is."""
    blocks, tokens = options(learner.tokenizer, question)
    losses = learner.losses(factors, blocks).astype(np.float64)
    nats = tuple(float(part.sum()) for part in np.split(losses, np.cumsum(tokens)[:-1]))
    return Answered(learner.line_after(factors, question.prompt, ANSWER_TOKENS).strip(), nats)


def options(tokenizer: Tokenizer, question: Question) -> tuple[Blocks, list[int]]:
    """A block for each option behind the prompt, and how many tokens are predicted in each: those of the option and of
    the line's end. A token that joins the prompt's end with an option's beginning counts, in all four."""
    rows, prompt = _whole(tokenizer, question), begun(question.prompt, tokenizer)
    shared = next((i for i, same in enumerate(zip(prompt, *rows, strict=False)) if len(set(same)) > 1), len(prompt))
    length = max(map(len, rows))
    ids = np.full((len(rows), length), tokenizer.pad_id, dtype=np.int32)
    positions, labels = np.zeros_like(ids), np.full_like(ids, IGNORED)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        # The padding is a run of its own, as in `dataset.pack`.
        positions[number] = np.append(np.arange(len(row)), np.arange(length - len(row)))
        labels[number, shared - 1 : len(row) - 1] = row[shared:]
    return Blocks(ids, positions, labels, Source("-", Path(QUESTIONS))), [len(row) - shared for row in rows]


def _whole(tokenizer: Tokenizer, question: Question) -> list[list[int]]:
    return [begun(f"{question.prompt}{option}\n", tokenizer) for option in question.options]


def paragraph_nats(learner: "Trainer", factors: Tensors, paragraphs: Sequence[str], length: int) -> tuple[float, ...]:
    """Of each paragraph, read as a document, in blocks of `length` tokens."""
    tokenizer = learner.tokenizer
    ids = [np.array([*begun(text, tokenizer), tokenizer.eos_id], dtype=np.int32) for text in paragraphs]
    losses = learner.losses(factors, pack(ids, length, tokenizer.pad_id)).astype(np.float64)
    ends = np.cumsum([len(each) - 1 for each in ids])
    return tuple(float(part.sum()) for part in np.split(losses, ends[:-1]))


def summarise(probes: Probes, measured: Mapping[str, Measured]) -> Line:
    """For summary.json: figures of each adapter, and what the federated one has more than the base."""
    base, federated = measured["base"], measured["federated"]
    found: Line = {}
    if questions := probes.questions:
        found["questions"] = {
            "items": len(questions),
            "contexts": len({question.context for question in questions}),
            **{name: _figures(questions, scores(questions, each.answered)) for name, each in measured.items()},
            "F_minus_B": _figures(questions, _minus(*(scores(questions, each.answered) for each in (federated, base)))),
        }
    if paragraphs := probes.paragraphs:
        sizes = [len(text) for text in paragraphs]
        bits = {name: np.array(each.nats) / log(2) for name, each in measured.items()}
        found["general"] = {
            "paragraphs": len(paragraphs),
            "characters": sum(sizes),
            **{name: _figure(each, sizes) for name, each in bits.items()},
            "F_minus_B": _figure(bits["federated"] - bits["base"], sizes),
        }
    return found


Score = tuple[float, int]
"""What a question adds to a figure, and by how much it weighs there: 1, or its answer's characters; 0: not counted."""

_Scored = Callable[[Question, Answered], Score]


def scores(questions: Sequence[Question], answered: Sequence[Answered]) -> dict[str, list[Score]]:
    """By figure, each question's score."""
    return {name: [scored(*each) for each in zip(questions, answered, strict=True)] for name, scored in _SCORES.items()}


def chosen(question: Question, answered: Answered) -> str:
    """The option with the fewest nats a character, its line's end counted as one."""
    each = [nats / (len(option) + 1) for nats, option in zip(answered.nats, question.options, strict=True)]
    return question.options[int(np.argmin(each))]


def _number(question: Question, answered: Answered) -> Score:
    asked = question.kind in ("number", "log") and answers.is_number(question.answers[0])
    return float(asked and answers.same_number(answered.written, question.answers)), int(asked)


def _part(question: Question, answered: Answered) -> Score:
    asked = question.kind == "part"
    return float(asked and answers.same_part(answered.written, question.answers)), int(asked)


_SCORES: Mapping[str, _Scored] = {
    "exact": lambda question, answered: (float(answers.exact(answered.written, question.answers)), 1),
    "character_f1": lambda question, answered: (answers.character_f1(answered.written, question.answers), 1),
    "number": _number,
    "part": _part,
    "choice": lambda question, answered: (float(chosen(question, answered) == question.answers[0]), 1),
    "bits_per_character": lambda question, answered: (answered.nats[0] / log(2), len(question.answers[0]) + 1),
}


def _minus(one: Mapping[str, list[Score]], other: Mapping[str, list[Score]]) -> dict[str, list[Score]]:
    return {name: [(a - b, size) for (a, size), (b, _) in zip(one[name], other[name], strict=True)] for name in one}


def _figures(questions: Sequence[Question], scored: Mapping[str, list[Score]]) -> Line:
    return {name: _by_context(questions, each) for name, each in scored.items()}


def _by_context(questions: Sequence[Question], scored: Sequence[Score]) -> Line | None:
    """Questions about one text are no independent evidence: what is left out at a time is a text."""
    sums: dict[str, np.ndarray[Any, Any]] = {}
    for question, score in zip(questions, scored, strict=True):
        sums[question.context] = sums.get(question.context, np.zeros(2)) + score
    counted = [each for each in sums.values() if each[1]]
    return _figure(*np.array(counted).T) if counted else None


def _figure(amounts: Any, sizes: Any) -> Line:
    """sum(amounts) / sum(sizes) with its 95 % interval over texts, as in differences.py; none where one text is all
    there is, or leaving any out changes nothing."""
    mean, variance, freedom = jackknifed(amounts, sizes)
    if not variance or not freedom:
        return {"mean": mean, "low": None, "high": None}
    reach = student_quantile((1 + LEVEL) / 2, freedom) * sqrt(variance)
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def listing(probes: Probes, measured: Mapping[str, Measured]) -> Line:
    """For probes.json: each answer, and each paragraph's nats, by adapter."""
    asked = [
        {
            "id": question.id,
            "answers": list(question.answers),
            **{
                name: {
                    "written": each.answered[number].written,
                    "chosen": chosen(question, each.answered[number]),
                    "nats": list(each.answered[number].nats),
                }
                for name, each in measured.items()
            },
        }
        for number, question in enumerate(probes.questions)
    ]
    return {"questions": asked, "general": {name: list(each.nats) for name, each in measured.items()}}
