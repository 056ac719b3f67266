"""The published cell as a preset: its machinery on a miniature of the data set, written here in the form in which the
real one is distributed. The demo's base model solves nothing, so figures mean nothing."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aggregator.simulate import cli, probes
from aggregator.simulate.config import SimulateConfig
from clients.ingest import read_documents
from federation import load_plan

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
import gsm8k

WHO = ("Mika", "Ken", "Aoi", "Jun", "Rei", "Sora", "Yui", "Nao", "Kei", "Emi", "Taro", "Hana")
GOODS = ("bolts", "valves", "gears", "seals", "pumps", "belts", "rings", "springs", "nuts", "pins", "hoses", "fans")


def problem(n: int) -> dict[str, str]:
    """By number, each in other words than its neighbours: near-duplicates are kept together."""
    one, other, who, goods = n % 7 + 1201, n % 5 + 2, WHO[n % 12], GOODS[(n * 5 + n // 12) % 12]
    asked = (
        f"{who} packs {one} {goods} on shelf {n} and {other} more at noon. How many {goods} are there?",
        f"A crate of {goods} number {n} weighs {one} grams.  {who} adds {other} grams of paper. What is its weight?",
        f"In week {n} the line of {who} made {one} {goods}; an inspector found {other} extra. Count them all.",
    )[n % 3]
    total = one + other
    return {"question": asked, "answer": f"{who} has {one}+{other} = <<{one}+{other}={total}>>{total}.\n#### {total:,}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gsm8k")
    for name, numbers in (("train", range(60)), ("test", range(60, 63))):
        lines = "".join(json.dumps(problem(n)) + "\n" for n in numbers)
        (made / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return made


def converted(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Path:
    target = folder / f"made-{len(list(folder.iterdir()))}"
    argv = ["gsm8k", str(folder / "train.jsonl"), str(folder / "test.jsonl"), str(target), *more]
    monkeypatch.setattr(sys, "argv", argv)
    assert gsm8k.main() == 0
    return target


def test_every_problem_comes_to_one_member_and_reaches_it_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = converted(folder, monkeypatch, "--members", "4")
    shares = [read_documents(each).documents for each in sorted((target / "members").iterdir())]
    assert [len(share) for share in shares] == [15] * 4
    texts = sorted(document.text.strip() for share in shares for document in share)
    assert texts == sorted(each.text.strip() for each in gsm8k.read(folder / "train.jsonl"))


def test_the_same_seed_deals_alike_and_another_does_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dealt(seed: str) -> list[str]:
        members = converted(folder, monkeypatch, "--seed", seed) / "members"
        return [file.read_text() for file in sorted(members.rglob("*.txt"))]

    assert dealt("1") == dealt("1") != dealt("2")


def test_a_question_ends_where_its_solution_begins_and_shows_solved_ones_before(folder: Path) -> None:
    train, test = gsm8k.read(folder / "train.jsonl"), gsm8k.read(folder / "test.jsonl")
    first: Any = gsm8k.questions(test, train[:2])[0]
    assert first["context"].startswith(train[0].text)
    assert first["context"].endswith(f"Question: {problem(60)['question']}\nAnswer:\n")
    assert first["answers"] == ["Mika has 1205+2 = <<1205+2=1207>>1207. The answer is 1,207"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "line 2"),
        ('{"question": "q"}', "line 2: .*answer"),
        ('{"question": "q", "answer": "5"}', "does not end in ####"),
        ('{"question": "q", "answer": "#### "}', "does not end in ####"),
        ("[]", "line 2"),
    ],
)
def test_what_is_not_gsm8k_is_named_by_its_line(tmp_path: Path, line: str, what: str) -> None:
    (tmp_path / "train.jsonl").write_text(f"{json.dumps(problem(1))}\n{line}\n")
    with pytest.raises(gsm8k.Unusable, match=what):
        gsm8k.read(tmp_path / "train.jsonl")


def test_a_folder_that_is_there_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gsm8k", str(folder / "train.jsonl"), str(folder / "test.jsonl"), str(folder)])
    assert gsm8k.main() == 1
    assert "must not exist yet" in capsys.readouterr().err


def test_the_preset_runs_from_distributed_files_to_solved_shares_in_every_arm(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = converted(folder, monkeypatch, "--shots", "1", "--questions", "2")
    monkeypatch.setattr(probes, "SOLUTION_TOKENS", 32)  # nine adapters write two solutions each
    given = [
        "experiment=gsm8k",
        f"data={target / 'members'}",
        f"probes={target / 'probes'}",
        *("probes.every_arm=true", "arms.local=true", "arms.pooled=true", "arms.personalised=true"),
        *("arms.personalised_rounds=1", f"arms.cache={tmp_path / 'arms'}"),
        *("rounds=1", "train.tokens_per_round=512", "train.tokens_per_step=256", "train.sequence_length=256"),
        *("evaluation.tokens=256", "evaluation.validation_share=0.2", "evaluation.test_share=0.1"),
    ]
    config = load_plan.compose(given, SimulateConfig, "simulate")
    faster = ("train.optimizer.name=adamw", "secagg.initial_range=auto")  # theirs moves nothing in one round
    assert (config.scheme.name, config.train.optimizer.name, config.lora.targets) == (
        "ffa",
        "sgd",
        ("q_proj", "v_proj"),
    )
    config = load_plan.compose([*given, *faster], SimulateConfig, "simulate")
    (tmp_path / "run").mkdir()
    cli.begin(config, tmp_path / "run", language="en", as_json=False)
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["probes"]["questions"]
    arms = ("base", "federated", "local", "pooled", "personalised")
    assert [found[arm]["solution"]["mean"] for arm in arms] == [0] * 5  # by this base model
    assert (
        {found[arm]["exact"] for arm in arms} == {found[arm]["choice"] for arm in arms} == {found["chance"]} == {None}
    )
    likely = {found[arm]["bits_per_character"]["mean"] for arm in arms}
    assert len(likely) == 5
    told = json.loads((tmp_path / "run" / "probes.json").read_text())["questions"]
    assert [len(told[0][arm]) for arm in ("local", "personalised")] == [3, 3]
    assert (tmp_path / "run" / "probes.png").read_bytes().startswith(b"\x89PNG")
    assert "solutions" in capsys.readouterr().out
