"""What the adapters know beside the members' test texts: questions about a text that stands beside them, and whether
general prose is still read as before.

Each question is asked twice. The model writes an answer by itself, which a small base model cannot; and of several
answers it takes the one that it finds likeliest by the character, so that something is measured at every size.
Base and federated adapter are asked, and with `probes.every_arm` the adapters of the other arms too, which are kept in
memory until then: `Adapters`. Where an arm has an adapter for each member, its figures are the mean over members.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
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
from federation.wire import canonical_cbor

if TYPE_CHECKING:  # torch takes seconds, and `rengo compare` does without
    from clients.trainer import Trainer

OURS = Path(__file__).parent / "demo" / "probes"
ANSWER_TOKENS, SOLUTION_TOKENS = 32, 256
"""As many tokens as a model may write for an answer, at most, and for one that is a solution."""

DIFFERENCES = {
    "F_minus_B": ("federated", "base"),
    "F_minus_L": ("federated", "local"),
    "Fplus_minus_L": ("personalised", "local"),
    "F_minus_P": ("federated", "pooled"),
}

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
        written = len(begun(question.prompt, learner.tokenizer)) + _most_tokens(question)
        learner.check_length(max(longest, written), QUESTIONS)
    return Probes(questions, read_paragraphs(folder) if choice.general else ())


@dataclass(frozen=True)
class Adapters:
    """Those that arms have come to, by arm and by member ("" where all share one), until they are asked."""

    found: dict[str, dict[str, Tensors]] = field(default_factory=dict)

    def keep(self, arm: str, member: str, factors: Tensors) -> None:
        """Called by arms as they end, perhaps for several members at once."""
        self.found.setdefault(arm, {})[member] = factors

    def by_arm(self, members: Sequence[str]) -> dict[str, list[Tensors]]:
        """Of each arm one, or one a member in the order of `members`."""
        return {arm: [each[member] for member in ("", *members) if member in each] for arm, each in self.found.items()}


def measure(bench: Bench, probes: Probes, adapters: Mapping[str, Sequence[Tensors]]) -> dict[str, list[Measured]]:
    """Each of the `adapters` on everything: of each arm one, or one a member. What several share is asked once."""
    distinct = {id(factors): factors for several in adapters.values() for factors in several}
    of, measured = len(distinct) * len(probes.questions), dict[int, Measured]()
    for number, (key, factors) in enumerate(distinct.items()):
        measured[key] = _measure(bench, probes, factors, number * len(probes.questions), of)
    return {name: [measured[id(factors)] for factors in several] for name, several in adapters.items()}


def _measure(bench: Bench, probes: Probes, factors: Tensors, before: int, of: int) -> Measured:
    """`before`: how many answers there are already."""
    answered = []
    asked = bench.in_order(lambda question: ask(bench.learner, factors, question), probes.questions)
    for count, answer in enumerate(asked, start=before + 1):
        answered.append(answer)
        bench.tell("probes", count, of)
    length = bench.plan.train.sequence_length
    nats = paragraph_nats(bench.learner, factors, probes.paragraphs, length) if probes.paragraphs else ()
    return Measured(tuple(answered), nats)


def ask(learner: "Trainer", factors: Tensors, question: Question) -> Answered:
    """The answer that is written, and how likely each option is."""
    blocks, tokens = options(learner.tokenizer, question)
    losses = learner.losses(factors, blocks).astype(np.float64)
    nats = tuple(float(part.sum()) for part in np.split(losses, np.cumsum(tokens)[:-1]))
    return Answered(learner.line_after(factors, question.prompt, _most_tokens(question)).strip(), nats)


def _most_tokens(question: Question) -> int:
    return SOLUTION_TOKENS if question.kind == "solution" else ANSWER_TOKENS


def options(tokenizer: Tokenizer, question: Question) -> tuple[Blocks, list[int]]:
    """A block for each option behind the prompt, and how many tokens are predicted in each: those of the option and of
    the line's end. A token that joins the prompt's end with an option's beginning counts, in all of them."""
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


def summarise(probes: Probes, measured: Mapping[str, Sequence[Measured]]) -> Line:
    """For summary.json: figures of each arm, and what one has more than another."""
    found: Line = {}
    pairs = {name: pair for name, pair in DIFFERENCES.items() if measured.keys() >= set(pair)}
    if questions := probes.questions:
        scored = {
            name: _mean([scores(questions, each.answered) for each in several]) for name, several in measured.items()
        }
        scored |= {name: _minus(scored[one], scored[other]) for name, (one, other) in pairs.items()}
        found["questions"] = {
            "sha256": _digest(map(str, questions)),
            "items": len(questions),
            "contexts": len({question.context for question in questions}),
            "chance": _chance(questions),
            **{name: _figures(questions, each) for name, each in scored.items()},
        }
    if paragraphs := probes.paragraphs:
        sizes = [len(text) for text in paragraphs]
        bits = {name: np.mean([each.nats for each in several], axis=0) / log(2) for name, several in measured.items()}
        bits |= {name: bits[one] - bits[other] for name, (one, other) in pairs.items()}
        found["general"] = {
            "sha256": _digest(paragraphs),
            "paragraphs": len(paragraphs),
            "characters": sum(sizes),
            **{name: _figure(each, sizes) for name, each in bits.items()},
        }
    return found


def _digest(texts: Iterable[str]) -> str:
    """Of what was asked: figures of other questions are not comparable."""
    return sha256(canonical_cbor(list(texts))).hexdigest()


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


def _solution(question: Question, answered: Answered) -> Score:
    asked = question.kind == "solution"
    return float(asked and answers.same_solution(answered.written, question.answers)), int(asked)


def _exact(question: Question, answered: Answered) -> Score:
    asked = question.kind != "solution"  # there are many ways to the same number
    return float(asked and answers.exact(answered.written, question.answers)), int(asked)


def _character_f1(question: Question, answered: Answered) -> Score:
    asked = question.kind != "solution"
    return (answers.character_f1(answered.written, question.answers) if asked else 0.0), int(asked)


def _choice(question: Question, answered: Answered) -> Score:
    asked = bool(question.distractors)
    return float(asked and chosen(question, answered) == question.answers[0]), int(asked)


_SCORES: Mapping[str, _Scored] = {
    "exact": _exact,
    "character_f1": _character_f1,
    "number": _number,
    "part": _part,
    "solution": _solution,
    "choice": _choice,
    "bits_per_character": lambda question, answered: (answered.nats[0] / log(2), len(question.answers[0]) + 1),
}


def _chance(questions: Sequence[Question]) -> float | None:
    """Of choices made blindly so many are right; None where none is asked."""
    shares = [1 / len(question.options) for question in questions if question.distractors]
    return sum(shares) / len(shares) if shares else None


def _mean(several: Sequence[Mapping[str, list[Score]]]) -> dict[str, list[Score]]:
    """Of several adapters on the same questions."""
    by_figure = {name: zip(*(each[name] for each in several), strict=True) for name in several[0]}
    return {
        name: [(sum(amount for amount, _ in same) / len(several), same[0][1]) for same in by_question]
        for name, by_question in by_figure.items()
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


def listing(probes: Probes, measured: Mapping[str, Sequence[Measured]]) -> Line:
    """For probes.json: each answer, and each paragraph's nats, by arm; a list where an arm has an adapter a member."""
    asked = [
        {
            "id": question.id,
            "answers": list(question.answers),
            **{name: _one_or_all([_told(question, each.answered[n]) for each in of]) for name, of in measured.items()},
        }
        for n, question in enumerate(probes.questions)
    ]
    return {"questions": asked, "general": {n: _one_or_all([list(e.nats) for e in of]) for n, of in measured.items()}}


def _told(question: Question, answered: Answered) -> Line:
    return {"written": answered.written, "chosen": chosen(question, answered), "nats": list(answered.nats)}


def _one_or_all(several: list[Any]) -> Any:
    return several[0] if len(several) == 1 else several
