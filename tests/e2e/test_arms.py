"""All arms of a real small run, and runs side by side: what a researcher concludes from."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator.simulate import cli, compare
from aggregator.simulate.config import SimulateConfig
from federation import load_plan
from federation.errors import RengoError
from tests.e2e.conftest import copy_members

Overrides = Callable[..., Sequence[str]]
ARMS = ("base", "federated", "local", "pooled", "personalised", "plain")


@pytest.fixture(scope="module")
def runs(overrides: Overrides, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two schemes and two seeds of one of them, with every arm, into one folder."""
    folder = tmp_path_factory.mktemp("sweep")
    data = copy_members(tmp_path_factory.mktemp("data") / "members", 7, documents=5, small=True)
    for name, settings in (("0", ["seed=1"]), ("1", ["seed=2"]), ("2", ["scheme=alternating", "seed=1"])):
        shares = ("evaluation.test_share=0.45", f"data={data}")
        typed = [
            *overrides(
                "rounds=2",
                *shares,
                "arms=default",
                "arms.plain=true",
                "arms.personalised_rounds=2",
                f"arms.cache={folder}/cache",
            ),
            *settings,
        ]
        config = load_plan.compose(_last(typed), SimulateConfig, "simulate")
        (folder / name).mkdir()
        cli.begin(config, folder / name, language="en", as_json=True)
    return folder


def _last(typed: Sequence[str]) -> list[str]:
    """Of several values for a setting the last."""
    return list({override.partition("=")[0]: override for override in typed}.values())


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def test_every_arm_is_listed_for_every_member_in_both_units(runs: Path) -> None:
    found = summary(runs / "0")
    for key in ("arms", "arms_bits_per_character", "arms_chosen_round"):
        assert set(found[key]) == set(ARMS)
        assert {len(values) for values in found[key].values()} == {7}
    joining = {"B_minus_F", "L_minus_F", "L_minus_Fplus", "F_minus_Fplus", "F_minus_P", "L_minus_P", "F_minus_plain"}
    assert set(found["differences"]) == joining
    bits = {arm: np.mean(values) for arm, values in found["arms_bits_per_character"].items()}
    for name, (one, other) in {"L_minus_F": ("local", "federated"), "F_minus_P": ("federated", "pooled")}.items():
        difference = found["differences"][name]
        assert difference["mean"] == pytest.approx(bits[one] - bits[other])
        assert difference["low"] <= difference["mean"] <= difference["high"]


def test_training_of_every_kind_helped_and_masking_cost_next_to_nothing(runs: Path) -> None:
    found = summary(runs / "0")
    mean = {arm: np.mean(values) for arm, values in found["arms"].items()}
    assert max(mean[arm] for arm in ARMS[1:]) < mean["base"]
    assert abs(found["differences"]["F_minus_plain"]["mean"]) < 1e-3


def test_the_kept_adapter_is_the_one_with_the_lowest_validation_loss(runs: Path) -> None:
    found = summary(runs / "0")
    losses = found["held_out_loss_by_round"]
    assert losses[str(found["chosen_round"])] == min(losses.values())
    assert found["arms_chosen_round"]["federated"] == [found["chosen_round"]] * 7


def test_arms_that_do_not_depend_on_the_scheme_are_shared_within_a_sweep(runs: Path) -> None:
    fedit, alternating = summary(runs / "0"), summary(runs / "2")
    for arm in ("base", "local", "pooled"):
        assert fedit["arms"][arm] == alternating["arms"][arm]
    assert fedit["arms"]["federated"] != alternating["arms"]["federated"]
    assert len(list((runs / "cache").glob("*.json"))) == 6  # three arms, two seeds
    assert alternating["values_per_upload"] == fedit["values_per_upload"] / 2  # over its two rounds, B and A by turns
    assert alternating["bytes_up_per_member_round"] < 0.6 * fedit["bytes_up_per_member_round"]


def test_no_test_passage_is_trained_on(runs: Path) -> None:
    assert summary(runs / "0")["test"]["seen_in_training"] == 0.0


def test_compare_groups_by_everything_but_the_seed(runs: Path, tmp_path: Path, capsys: Any) -> None:
    assert compare.main([str(runs), "--out", str(tmp_path), "--json"], "en") == 0
    printed = json.loads(capsys.readouterr().out)
    rows = json.loads((tmp_path / "compare.json").read_text())["rows"]
    assert printed["rows"] == rows
    assert [(row["name"], row["seeds"]) for row in rows] == [
        ("scheme.name=fedit", [1, 2]),
        ("scheme.name=alternating", [1]),
    ]
    alone = summary(runs / "2")
    assert rows[1]["differences"] == alone["differences"]
    assert json.loads((runs / "0" / "arms.json").read_text(), parse_constant=pytest.fail)  # no NaN
    both = [summary(runs / name)["differences"]["L_minus_F"]["mean"] for name in ("0", "1")]
    assert rows[0]["differences_by_seed"]["L_minus_F"] == both
    assert rows[0]["differences"]["L_minus_F"]["mean"] == pytest.approx(np.mean(both))
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_compare_shows_a_table_to_a_person(runs: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert compare.main([str(runs / "0"), str(runs / "2"), "--out", str(tmp_path)], "ja") == 0
    shown = capsys.readouterr().out
    assert re.search("│ scheme.name=alternating +│", shown)
    assert f"{np.mean(summary(runs / '0')['arms_bits_per_character']['pooled']):.3f}" in shown


def test_rows_are_compared_with_the_first_text_by_text(runs: Path, tmp_path: Path, capsys: Any) -> None:
    compare.main([str(runs), "--out", str(tmp_path), "--json"], "en")
    first, second = json.loads(capsys.readouterr().out)["rows"]
    found = second["federated_minus_first_row"]
    bits = [np.mean(summary(runs / name)["arms_bits_per_character"]["federated"]) for name in ("2", "0")]
    assert first["federated_minus_first_row"] is None
    assert found["mean"] == pytest.approx(bits[0] - bits[1])  # seed 1, which both have
    assert found["low"] < found["mean"] < found["high"]


def test_a_difference_is_told_without_each_domain(runs: Path, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(runs / "2", tmp_path / "run")
    found = summary(tmp_path / "run")
    members = found["member_ids"]
    domains = {member: "logs" if member == members[0] else "manuals" for member in members}
    (tmp_path / "run" / "summary.json").write_text(json.dumps(found | {"domains": domains}))
    compare.main([str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--json"], "en")
    [row] = json.loads(capsys.readouterr().out)["rows"]
    left = row["differences_leaving_out"]["L_minus_F"]
    bits = found["arms_bits_per_character"]
    each = [local - federated for local, federated in zip(bits["local"], bits["federated"], strict=True)]
    assert left["logs"]["mean"] == pytest.approx(np.mean(each[1:]))
    assert left["manuals"]["mean"] == pytest.approx(each[0])


@pytest.mark.parametrize(("key", "name"), [("model", "base model"), ("test", "test text")])
def test_runs_on_other_text_or_another_base_model_are_kept_apart_and_told(
    runs: Path, tmp_path: Path, capsys: Any, key: str, name: str
) -> None:
    for run in ("0", "1"):
        shutil.copytree(runs / run, tmp_path / "runs" / run)
    found = summary(tmp_path / "runs" / "1")
    (tmp_path / "runs" / "1" / "summary.json").write_text(json.dumps(found | {key: found[key] | {"sha256": "0" * 64}}))
    compare.main([str(tmp_path / "runs"), "--out", str(tmp_path / "out")], "en")
    assert "cannot be compared" in capsys.readouterr().out
    compared = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [(row["part"], row["seeds"], row["federated_minus_first_row"]) for row in compared["rows"]] == [
        (1, [1], None),
        (2, [2], None),
    ]
    assert (tmp_path / "out" / "compare-2.png").exists()
    assert "cannot be compared" in (tmp_path / "out" / "compare.html").read_text()


def test_what_was_asked_stands_beside(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "2", tmp_path / "run")
    asked = {"questions": {"sha256": "0a" * 32, "base": {"choice": {"mean": 0.1234}}}}
    (tmp_path / "run" / "summary.json").write_text(json.dumps(summary(runs / "2") | {"probes": asked}))
    compare.main([str(tmp_path / "run"), "--out", str(tmp_path / "out")], "en")
    assert "12.3%" in (tmp_path / "out" / "compare.html").read_text()
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["rows"][0]["probes"] == {
        "base": {"choice": 0.1234}
    }


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_stands_alone_and_runs_nothing(runs: Path, tmp_path: Path, language: Any) -> None:
    hostile = tmp_path / "<script>alert(1)</script><img src=x>"
    shutil.copytree(runs, hostile)
    (hostile / "3").mkdir()
    (hostile / "3" / "config.yaml").write_text("")  # begun, not finished
    compare.main([str(hostile), "--out", str(tmp_path / "out")], language)
    html = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    sources = re.findall(r"""(?:src|href)=["']?([^"' >]+)""", re.sub("&[a-z]+;.*?&gt;", "", html))
    assert [source for source in sources if not source.startswith("data:image/png;base64,")] == []
    assert html.count("data:image/png;base64,") == 1
    row = json.loads((tmp_path / "out" / "compare.json").read_text())["rows"][0]
    found = row["differences"]["L_minus_F"]
    assert f"{found['mean']:+.3f}\n({found['low']:+.3f} … {found['high']:+.3f})" in html
    assert row["runs"][0]["adapter_sha256"][:12] in html
    assert summary(runs / "0")["machine"]["processor"] in html
    assert ("未完了" if language == "ja" else "Not finished") in html


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [([], "usage-error", 2), (["--typo", "x"], "usage-error", 2), (["{empty}"], "nothing-to-compare", 2)],
)
def test_compare_says_what_it_needs(arguments: list[str], code: str, exit_code: int, tmp_path: Path) -> None:
    with pytest.raises(RengoError) as caught:
        compare.main([argument.format(empty=tmp_path) for argument in arguments], "en")
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)


def test_no_figure_is_cut_where_there_is_little_room(runs: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert compare.main([str(runs), "--out", str(tmp_path)], "en") == 0
    shown = capsys.readouterr().out
    rows = json.loads((tmp_path / "compare.json").read_text())["rows"]
    for row in rows:
        found = row["differences"]["L_minus_F"]
        assert row["name"] in shown
        assert f"{found['mean']:+.3f} ({found['low']:+.3f} … {found['high']:+.3f})" in shown


@pytest.mark.parametrize(
    ("file", "damage"), [("summary.json", "[]"), ("arms.json", '{"a": null}'), ("metrics.jsonl", "")]
)
def test_damaged_results_are_named(runs: Path, tmp_path: Path, file: str, damage: str) -> None:
    shutil.copytree(runs / "0", tmp_path / "run")
    (tmp_path / "run" / file).write_text(damage)
    with pytest.raises(RengoError, match="damaged") as caught:
        compare.main([str(tmp_path), "--out", str(tmp_path / "out")], "en")
    assert caught.value.code == "run-unreadable"


def test_compare_shows_no_other_plan_than_the_one_that_ran(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "0", tmp_path / "run")
    plan = tmp_path / "run" / "plan.yaml"
    plan.write_text(plan.read_text().replace("rounds: 2", "rounds: 20"))
    with pytest.raises(RengoError, match="not the plan that ran") as caught:
        compare.main([str(tmp_path), "--out", str(tmp_path / "out")], "en")
    assert caught.value.code == "run-unreadable"


def test_a_path_without_a_run_is_named_and_an_unwritable_place_too(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RengoError, match="nowhere") as caught:
        compare.main([str(runs), str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")], "en")
    assert caught.value.code == "nothing-to-compare"
    (tmp_path / "file").write_text("")
    with pytest.raises(RengoError, match="in the way") as caught:
        compare.main([str(runs), "--out", str(tmp_path / "file")], "en")
    assert caught.value.exit_code == 7


def test_a_cache_that_cannot_be_is_told_before_training(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    typed = _last([*overrides("arms=default"), f"arms.cache={tmp_path / 'cache'}"])
    config = load_plan.compose(typed, SimulateConfig, "simulate")
    (tmp_path / "run").mkdir()
    with pytest.raises(RengoError) as caught:
        cli.begin(config, tmp_path / "run", language="en", as_json=True)
    assert (caught.value.exit_code, (tmp_path / "run" / "metrics.jsonl").exists()) == (7, False)


def test_an_adapter_that_is_gone_is_told(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "2", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "adapter")
    with pytest.raises(RengoError) as caught:
        cli.main([f"resume={tmp_path / 'run'}", "--json"], "en")
    assert (caught.value.code, caught.value.exit_code) == ("adapter-missing", 10)


def test_a_run_of_another_version_is_named(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for file in ("summary.json", "metrics.jsonl", "arms.json", "plan.yaml"):
        (tmp_path / "old" / file).write_bytes((runs / "0" / file).read_bytes())
    (tmp_path / "old" / "config.yaml").write_text("job: demo\n")
    with pytest.raises(RengoError, match="old cannot be compared") as caught:
        compare.main([str(tmp_path), "--out", str(tmp_path / "out")], "en")
    assert caught.value.exit_code == 3
