"""Turn GSM8K (Cobbe et al. 2021, MIT) as it is distributed into members' folders and questions for `rengo simulate`.

    python scripts/gsm8k.py train.jsonl test.jsonl ./gsm8k --members 3 --seed 1
    rengo simulate experiment=gsm8k data=./gsm8k/members probes=./gsm8k/probes model=PATH

Fetches nothing: the two files come from grade_school_math/data of github.com/openai/grade-school-math. Problems of
train.jsonl are shuffled and dealt out evenly, a text file each; those of test.jsonl become questions. A solution is on
one line and ends in "The answer is N", in place of a line "#### N". docs/results.md says what this is good for.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random

_MARK = "####"


class Unusable(Exception):
    """A file that is not GSM8K's."""


@dataclass(frozen=True)
class Problem:
    """A question and its solution, of one line each."""

    question: str
    solution: str

    @property
    def prompt(self) -> str:
        """What a model goes on from with a solution."""
        return f"Question: {self.question}\nAnswer:\n"

    @property
    def text(self) -> str:
        """What a member trains on."""
        return f"{self.prompt}{self.solution}\n"


def read(path: Path) -> list[Problem]:
    """One JSON object a line, with `question` and `answer`. Raises Unusable with the line."""
    problems = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            problems.append(_problem(**json.loads(line)))
        except (ValueError, TypeError, AttributeError) as error:
            raise Unusable(f"{path}, line {number}: {error}") from error
    return problems


def _problem(question: str, answer: str) -> Problem:
    steps, mark, number = answer.rpartition(_MARK)
    if not mark or not number.strip():
        raise ValueError(f"its answer does not end in {_MARK} and a number")
    return Problem(" ".join(question.split()), f"{' '.join(steps.split())} The answer is {number.strip()}")


def deal(problems: list[Problem], members: int, seed: int) -> list[list[Problem]]:
    """As evenly as can be, in an order that follows from the seed: no member's share differs from another's in kind."""
    shuffled = Random(seed).sample(problems, len(problems))  # noqa: S311 no secret
    return [shuffled[member::members] for member in range(members)]


def questions(problems: list[Problem], shots: list[Problem]) -> list[dict[str, object]]:
    """Lines of questions.jsonl (docs/evaluation.md). `shots` stand before each problem, solved."""
    before = "".join(f"{shot.text}\n" for shot in shots)
    return [
        {
            "id": f"test-{number}",
            "kind": "solution",
            "context": before + problem.prompt,
            "question": None,
            "answers": [problem.solution],
            "distractors": [],
        }
        for number, problem in enumerate(problems, start=1)
    ]


def write(target: Path, shares: list[list[Problem]], asked: list[dict[str, object]]) -> None:
    """The folder `target`, which must not exist yet."""
    for number, share in enumerate(shares, start=1):
        folder = target / "members" / f"member-{number:02}"
        folder.mkdir(parents=True)
        for place, problem in enumerate(share, start=1):
            (folder / f"problem-{place:05}.txt").write_text(problem.text, encoding="utf-8")
    (target / "probes").mkdir()
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in asked)
    (target / "probes" / "questions.jsonl").write_text(lines, encoding="utf-8")


def main() -> int:
    """0 when the folder is written; 1 with the reason when that cannot be."""
    parser = argparse.ArgumentParser(description="GSM8K as members' folders and questions for `rengo simulate`.")
    parser.add_argument("train", type=Path, help="train.jsonl, as distributed")
    parser.add_argument("test", type=Path, help="test.jsonl, as distributed")
    parser.add_argument("target", type=Path, help="the folder to make")
    parser.add_argument("--members", type=int, default=3, help="how many share the training problems (3 or more)")
    parser.add_argument("--seed", type=int, default=1, help="of the dealing out")
    parser.add_argument("--shots", type=int, default=8, help="solved problems before each question, from train.jsonl")
    parser.add_argument("--questions", type=int, help="ask only the first so many of test.jsonl; all by default")
    given = parser.parse_args()
    try:
        if given.target.exists():
            raise Unusable(f"{given.target} must not exist yet")
        train, test = read(given.train), read(given.test)
        if given.members < 3 or not 0 <= given.shots <= len(train) or len(train) < given.members or len(test) < 2:
            raise Unusable("it takes three members, a problem for each, as many as are shown, and two to ask")
        shares, shots = deal(train, given.members, given.seed), train[: given.shots]
        write(given.target, shares, questions(test[: given.questions], shots))
    except (Unusable, OSError, UnicodeDecodeError) as error:
        print(f"gsm8k: {error}", file=sys.stderr)
        return 1
    print(f"{len(train)} problems for {given.members} members, {len(test[: given.questions])} to ask: {given.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
