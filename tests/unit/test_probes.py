"""Questions and general text under an adapter: what is predicted, what is chosen, and how sure that is."""

import dataclasses
import json
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aggregator.simulate import probes
from aggregator.simulate.config import ProbesChoice
from aggregator.simulate.probes import Answered, Measured, Probes
from aggregator.simulate.questions import ProbesInvalid, Question
from clients.dataset import IGNORED
from clients.trainer import Trainer
from federation import plan
from federation.errors import ModelFolderInvalid
from tests.unit.test_trainer import BASE, LORA, MODEL, TRAIN, factors_for

ALL = ProbesChoice(True, True, None, False)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(BASE, MODEL, LORA)


def question(number: int, context: str = "文書", kind: str = "number") -> Question:
    options = ("PX-1", ("PX-2", "PX-3", "PX-4")) if kind == "part" else ("5 mm", ("6 mm", "17 mm", "8 mm"))
    return Question(f"q{number}", kind, f"{context}は {options[0]}", "いくつか。", options[:1], options[1])  # type: ignore[arg-type]


def two_texts() -> tuple[Question, ...]:
    return question(1, "甲"), question(2, "甲", "part"), question(3, "乙")


class TestOptions:
    def test_exactly_the_option_and_its_line_s_end_are_predicted(self, trainer: Trainer) -> None:
        asked = question(1)
        blocks, tokens = probes.options(trainer.tokenizer, asked)
        for number, option in enumerate(asked.options):
            predicted = blocks.labels[number][blocks.labels[number] != IGNORED]
            assert trainer.tokenizer.decode(predicted.tolist()) == f"{option}\n"
            assert len(predicted) == tokens[number]

    def test_an_option_is_as_likely_beside_longer_ones_as_alone(self, trainer: Trainer) -> None:
        asked = question(1)
        blocks, _ = probes.options(trainer.tokenizer, asked)
        factors = factors_for(trainer)
        together = probes.ask(trainer, factors, asked).nats
        for number in range(4):
            row = blocks[number : number + 1]
            length = int((row.labels[0] != IGNORED).nonzero()[0][-1]) + 2
            alone = dataclasses.replace(
                row, ids=row.ids[:, :length], positions=row.positions[:, :length], labels=row.labels[:, :length]
            )
            assert trainer.evaluate(factors, alone).nats == pytest.approx(together[number], rel=1e-4)

    def test_the_likeliest_option_by_the_character_is_chosen(self) -> None:
        asked = question(1)  # "5 mm", "6 mm", "17 mm", "8 mm" and a line's end: 5, 5, 6, 5 characters
        assert probes.chosen(asked, Answered("", (5.0, 6.0, 5.5, 9.0))) == "17 mm"
        assert probes.chosen(asked, Answered("", (4.0, 6.0, 5.5, 9.0))) == "5 mm"


class TestScores:
    def test_numbers_and_part_numbers_count_only_where_they_are_asked_for(self) -> None:
        asked = two_texts()
        answered = [
            Answered("5 mm です", (1.0, 2, 2, 2)),
            Answered("px-1", (1.0, 2, 2, 2)),
            Answered("6 mm", (3, 2, 2, 2)),
        ]
        found = probes.scores(asked, answered)
        assert found["number"] == [(1.0, 1), (0.0, 0), (0.0, 1)]
        assert found["part"] == [(0.0, 0), (1.0, 1), (0.0, 0)]
        assert found["exact"] == [(0.0, 1), (0.0, 1), (0.0, 1)]
        assert found["choice"] == [(1.0, 1), (1.0, 1), (0.0, 1)]
        assert found["bits_per_character"][2] == (3 / log(2), 5)

    def measured(self, *right: bool) -> Measured:
        answers = tuple(Answered("5 mm" if each else "", (1.0 if each else 3.0, 2, 2, 2)) for each in right)
        return Measured(answers, (100.0, 200.0, 310.0))

    def test_questions_about_one_text_are_one_piece_of_evidence(self) -> None:
        asked = (question(1, "甲"), question(2, "甲"), question(3, "乙"), question(4, "丙"))
        everything = Probes(asked, ("あ" * 50, "い" * 100, "う" * 150))
        base, federated = self.measured(True, True, False, False), self.measured(True, True, True, True)
        found = probes.summarise(everything, {"base": [base], "federated": [federated]})["questions"]
        assert (found["items"], found["contexts"]) == (4, 3)
        # Leaving out one text: 0 of 2, 2 of 3, 2 of 3 are left. Jackknife: sqrt(2/3 * (0.4444^2 + 2 * 0.2222^2)).
        error = np.sqrt(2 / 3 * ((4 / 9) ** 2 + 2 * (2 / 9) ** 2))
        exact = found["base"]["exact"]
        assert exact["mean"] == 0.5
        # Three texts of 2, 1 and 1 questions leave 16 / 6 - 1 degrees of freedom; at 1.667 the 97.5 % point is 5.28.
        assert (exact["high"] - exact["low"]) / 2 / error == pytest.approx(5.28, rel=0.01)
        assert found["F_minus_B"]["exact"]["mean"] == 0.5

    def test_where_leaving_out_any_text_changes_nothing_there_is_no_interval(self) -> None:
        asked = two_texts()
        same = self.measured(False, False, False)
        found = probes.summarise(Probes(asked, ()), {"base": [same], "federated": [same]})
        assert found["questions"]["base"]["exact"] == {"mean": 0.0, "low": None, "high": None}
        assert "general" not in found

    def test_without_questions_of_a_kind_its_figure_is_none(self) -> None:
        asked = (question(1, "甲"), question(2, "乙"))
        some = self.measured(True, False)
        found = probes.summarise(Probes(asked, ()), {"base": [some], "federated": [some]})
        assert found["questions"]["base"]["part"] is None
        assert found["questions"]["base"]["number"]["mean"] == 0.5

    def test_forgetting_is_bits_a_character_over_paragraphs(self) -> None:
        base = self.measured()
        federated = dataclasses.replace(base, nats=(105.0, 211.0, 324.0))
        everything = Probes((), ("あ" * 50, "い" * 100, "う" * 150))
        found = probes.summarise(everything, {"base": [base], "federated": [federated]})["general"]
        assert found["base"]["mean"] == pytest.approx(610 / 300 / log(2))
        change = found["F_minus_B"]
        assert change["mean"] == pytest.approx(30 / 300 / log(2))
        assert change["low"] < change["mean"] < change["high"]

    def test_an_arm_of_members_own_adapters_counts_as_their_mean(self) -> None:
        asked = two_texts()
        base, right, half = (self.measured(*each) for each in ([False] * 3, [True] * 3, [True, False, False]))
        everything = Probes(asked, ("あ" * 50, "い" * 100, "う" * 150))
        measured = {"base": [base], "federated": [right], "local": [right, half], "pooled": [half]}
        found = probes.summarise(everything, measured)["questions"]
        assert found["local"]["exact"]["mean"] == pytest.approx((2 + 1) / 2 / 3)  # "5 mm" is no part number
        assert found["F_minus_L"]["choice"]["mean"] == pytest.approx(1 - (3 + 1) / 2 / 3)
        assert found["F_minus_P"]["choice"]["mean"] == pytest.approx(1 - 1 / 3)
        assert "Fplus_minus_L" not in found
        told = probes.listing(everything, measured)["questions"][1]
        assert [each["written"] for each in told["local"]] == ["5 mm", ""]
        assert told["pooled"]["written"] == ""

    def test_solutions_count_by_the_number_alone_and_are_no_choice(self) -> None:
        problem = Question("p", "solution", "Question", None, ("2 + 3 = 5. The answer is 5",), ())
        found = probes.scores([problem], [Answered("Five, for 1 + 4 = 5. The answer is 5.0.", (3.0,))])
        assert found["solution"] == [(1.0, 1)]
        assert [found[name] for name in ("exact", "character_f1", "number", "choice")] == [[(0.0, 0)]] * 4

    def test_chance_follows_how_many_options_there_are(self) -> None:
        two = dataclasses.replace(question(1, "甲"), distractors=("6 mm",))
        none = dataclasses.replace(question(2, "乙"), distractors=())
        measured = [Measured((Answered("", (1.0, 2)), Answered("", (1.0,)), Answered("", (1.0, 2, 3, 4))), ())]
        found = probes.summarise(Probes((two, none, question(3, "丙")), ()), {"base": measured, "federated": measured})
        assert found["questions"]["chance"] == (1 / 2 + 1 / 4) / 2


class TestReading:
    def test_our_own_fit_the_demo_s_model(self, trainer: Trainer) -> None:
        found = probes.read(ALL, trainer)
        assert len(found.questions) == 72
        assert len(found.paragraphs) == 40

    def test_what_is_not_asked_for_is_not_read(self, trainer: Trainer, tmp_path: Path) -> None:
        assert probes.read(ProbesChoice(False, False, str(tmp_path), False), trainer) == Probes((), ())
        with pytest.raises(ProbesInvalid):
            probes.read(ProbesChoice(False, True, str(tmp_path), False), trainer)

    def test_a_question_longer_than_the_model_reads_is_refused_before_training(
        self, trainer: Trainer, tmp_path: Path
    ) -> None:
        asked = [dataclasses.asdict(question(number, "鉄" * length)) for number, length in ((1, 10), (2, 600))]
        lines = [json.dumps(each) for each in asked]
        (tmp_path / "questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
        with pytest.raises(ModelFolderInvalid, match=r"at most 512 tokens, questions\.jsonl"):
            probes.read(ProbesChoice(True, False, str(tmp_path), False), trainer)


def test_what_several_share_is_asked_once(trainer: Trainer) -> None:
    shared = factors_for(trainer)
    other = {name: 2 * factor for name, factor in shared.items()}
    told: list[tuple[str, int, int]] = []
    asking = SimpleNamespace(train=TRAIN)
    bench: Any = SimpleNamespace(plan=asking, learner=trainer, in_order=map, tell=lambda *each: told.append(each))
    found = probes.measure(bench, Probes(two_texts(), ()), {"federated": [shared], "personalised": [shared, other]})
    assert told == [("probes", count, 6) for count in range(1, 7)]
    assert found["personalised"][0] is found["federated"][0]
    assert found["personalised"][1] != found["federated"][0]


def test_each_paragraph_has_the_nats_that_it_has_alone(trainer: Trainer) -> None:
    texts = ("朝、窓を開ける。", "雨の日の図書館には、不思議な静けさがある。", "犬は歩く。")
    factors = factors_for(trainer)
    together = probes.paragraph_nats(trainer, factors, texts, 128)
    alone = [probes.paragraph_nats(trainer, factors, (text,), 128)[0] for text in texts]
    assert together == pytest.approx(alone, rel=1e-4)


def test_the_plan_does_not_know_of_probes() -> None:
    assert "probes" not in {field.name for field in dataclasses.fields(plan.Plan)}
