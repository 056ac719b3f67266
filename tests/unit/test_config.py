"""conf/ and the command line that changes it: every file loads, every wrong argument is named before anything runs."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from aggregator.simulate.config import Dropouts, SimulateConfig
from federation import load_plan, plan
from federation.errors import ConfigInvalid, ModelMismatch

CONF = Path(load_plan.__file__).parent.parent / "conf"
FAMILIES = sorted(file.stem for file in CONF.glob("model/*.yaml") if file.stem != "demo_base")
OPTIONS = [f"{file.parent.name}={file.stem}" for file in sorted(CONF.glob("*/*.yaml"))]
MEMBERS = tuple(f"member-{number:02}" for number in range(30))


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of one's own: outputs land there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compose(*overrides: str) -> SimulateConfig:
    return load_plan.compose(overrides, SimulateConfig, "simulate")


def refusal(*overrides: str) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as caught:
        compose(*overrides)
    assert caught.value.exit_code == 2
    return caught.value


def faults(*overrides: str) -> list[str]:
    return [fault.text("en") for fault in refusal(*overrides).faults]


# What is in conf/


def test_defaults_make_a_plan_for_the_thirty_demo_members() -> None:
    made = compose().plan(MEMBERS, "0" * 64)

    assert (made.rounds, made.seed, made.lora.r, made.train.steps, made.threshold) == (12, 1, 8, 4, 21)
    assert made.model == plan.Model("rengo-demo-base", "0" * 64, "bfloat16", "cpu", 1)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_makes_a_plan(option: str) -> None:
    given = ["model.path=./model"] if option.removeprefix("model=") in FAMILIES else []
    compose(option, *given).plan(MEMBERS, "0" * 64)


def test_a_preset_changes_what_it_names_and_the_command_line_has_the_last_word() -> None:
    quick = compose("experiment=quick", "seed=7")

    assert (quick.rounds, quick.train.tokens_per_round, quick.seed) == (2, 256, 7)


RESULTS = re.findall(
    r"^ +rengo simulate (.+)$", (CONF.parent / "docs" / "results.md").read_text(encoding="utf-8"), re.M
)


@pytest.mark.parametrize("typed", RESULTS)
def test_what_the_results_show_to_type_can_be_run(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    load_plan.run([*typed.split(), "--cfg", "job"], SimulateConfig, "simulate", lambda *_: None)
    assert "rounds:" in capsys.readouterr().out


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_knob_has_a_comment_and_every_file_its_command(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("# ")]
    knobs = [line for line in lines if re.match(r" *(- )?[\w/ ]+: *[^ #]", line)]

    assert knobs
    assert [line for line in knobs if " # " not in line] == []
    assert any("rengo simulate" in line or "rengo coordinator plan" in line for line in header)


@pytest.mark.parametrize("value", ["1e-3", "'1e-3'"])
def test_a_decimal_is_a_number_however_yaml_reads_it(value: str) -> None:
    assert compose(f"train.optimizer.learning_rate={value}").train.optimizer.learning_rate == 0.001


def test_yaml_of_a_plan_reads_back() -> None:
    made = replace(compose().plan(MEMBERS, "0" * 64), consortium="名古屋製造業コンソーシアム", seed=2**62)
    text = load_plan.to_yaml(made)

    assert plan.read(plan.Plan, OmegaConf.to_container(OmegaConf.create(text))) == made
    assert "名古屋製造業コンソーシアム" in text


# What is refused


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora.rank=8", "`lora.rank` is not a setting. Did you mean `lora.r`?"),
        ("+lora.rank=8", "`lora.rank` is not a setting. Did you mean `lora.r`?"),
        ("++lora.rank=8", "`lora.rank` is not a setting. Did you mean `lora.r`?"),
        ("+typo=1", "`typo` is not a setting."),
        ("++typo=1", "`typo` is not a setting."),
        ("typo=日本", "`typo` is not a setting."),
        ("~lora", "The argument `~lora` cannot be used: a setting cannot be removed."),
        ("~lora.r=8", "The argument `~lora.r=8` cannot be used: a setting cannot be removed."),
        ("+lora.r=8", "The argument `+lora.r=8` cannot be used: write `lora.r=…`."),
        ("lora@train=default", "The argument `lora@train=default` cannot be used: write `lora=…`."),
        ("scheme=fedti", "`scheme` is 'fedti'; it has to be alternating | fedit | fedsb | ffa | rolora."),
        ("scheme=null", "`scheme` is 'null'; it has to be alternating | fedit | fedsb | ffa | rolora."),
        ("secagg=ring64", "`secagg` is 'ring64'; it has to be k_regular | ring16 | ring32."),
        ("data=nowhere", "`data` is 'nowhere'; it has to be demo | PATH."),
        (
            "experiment=fast",
            "`experiment` is 'fast'; it has to be controls | four_arms | gsm8k | quick | real_size | ring_bits | null.",
        ),
        ("lora.r[=3", "The argument `lora.r[=3` cannot be used: write KEY=VALUE."),
        ("=3", "The argument `=3` cannot be used: write KEY=VALUE."),
        ("lora.r", "`lora.r` is ''; it has to be a whole number from 1 to 1024."),
        ("lora.r=８つ", "`lora.r` is '８つ'; it has to be a whole number from 1 to 1024."),
        ("lora.targets=[q_proj", "`lora.targets` is '[q_proj'; it has to be a list of names."),
        ("lora={r:8}", "`lora` is \"{'r': 8}\"; it has to be default."),
        (
            "train.optimizer={name:sgd,momentum:0.9}",
            "Hydra cannot put this configuration together: Could not override 'train.optimizer'. Key 'momentum'",
        ),
        ("seed=1,2", "The argument `seed=1,2` cannot be used: several values need -m; a list is [a,b]."),
        ("train.tokens_per_step=300", "`train.tokens_per_step`: 300 is not a multiple of train.sequence_length (256)"),
        ("evaluation.tokens=1000", "`evaluation.tokens`: 1000 is not a multiple of train.sequence_length (256)"),
        ("train.optimizer.name=sgd", "`secagg.initial_range`: `auto` is only known for adamw; give a number"),
        ("job=${nope", "Hydra cannot put this configuration together: no viable alternative at input '${nope'"),
        (
            "hydra.launcher.n_jobs=0",
            "The argument `hydra.launcher.n_jobs=0` cannot be used: at least one job",
        ),
        ("hydra/launcher=joblob", "`hydra/launcher` is 'joblob'; it has to be basic"),
        (
            "hydra.launcher.typo=1",
            "Hydra cannot put this configuration together: Could not override 'hydra.launcher.typo'",
        ),
    ],
)
def test_a_wrong_argument_is_named(override: str, message: str) -> None:
    assert any(text.startswith(message) for text in faults(override)), faults(override)


@pytest.mark.parametrize("name", ["a/b", "..", "x" * 101, "a\\b"])
def test_a_job_is_named_so_that_a_folder_can_be(name: str) -> None:
    assert faults(f"job='{name}'")[0].startswith("`job`: folders are named after it")


def test_all_faults_are_told_at_once_and_once() -> None:
    wrong = ["lora.rank=8", "+lora.rank=8", "scheme=fedti", "rounds=0", "train.tokens_per_step=300", "x[=1"]

    assert [fault.code for fault in refusal(*wrong).faults] == [
        "unknown-key",
        "wrong-value",
        "override-refused",
        "wrong-value",
        "inconsistent",
        "inconsistent",
    ]


def test_a_faulty_setting_does_not_bring_false_faults_in_others() -> None:
    assert len(faults("train.sequence_length=0", "train.tokens_per_step=300", "train.tokens_per_round=300")) == 1


def test_faults_are_told_in_japanese() -> None:
    assert refusal("lora.rank=8", "~lora", "+seed=1").text("ja").splitlines() == [
        "設定に 3 件の誤りがあります（何も開始していません）:",
        "  - `lora.rank` という設定はありません。`lora.r` のことですか。",
        "  - 引数 `~lora` は使えません: 設定は削除できません。",
        "  - 引数 `+seed=1` は使えません: `seed=…` と書いてください。",
    ]


def test_the_number_of_members_is_checked_when_it_is_known() -> None:
    config = replace(compose(), dropouts=Dropouts(each_round=3))
    with pytest.raises(ConfigInvalid) as caught:
        config.plan(("a", "b"), "0" * 64)

    assert [fault.facts["where"] for fault in caught.value.faults] == ["members", "dropouts.each_round"]
    assert compose().plan(MEMBERS[:12], "0" * 64).threshold == 9


HOSTILE = ["\x1b[2J", "a\nNoise (DP): added", "\u202etxt", "a\u2028b", "\x9b2J"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("where", ["consortium", "job", "model.name", "lora.targets"])
def test_a_plan_s_text_moves_no_cursor_on_the_approver_s_terminal(where: str, text: str) -> None:
    raw = plan.plain(compose().plan(MEMBERS, "0" * 64))
    *groups, name = where.split(".")
    group = raw
    for each in groups:
        group = group[each]
    group[name] = [text] if where == "lora.targets" else text
    raw["rounds"] = 0
    with pytest.raises(ConfigInvalid) as caught:
        plan.read(plan.Plan, raw)
    codes = {(fault.code, fault.facts["where"]) for fault in caught.value.faults}
    assert codes >= {("control-characters", where), ("wrong-value", "rounds")}
    assert text not in caught.value.text("en") + caught.value.text("ja")


def test_an_unknown_setting_s_name_is_told_without_what_it_hides() -> None:
    raw = plan.plain(compose().plan(MEMBERS, "0" * 64)) | {"x\nNoise": 1}
    with pytest.raises(ConfigInvalid, match=r"`x\\nNoise` is not a setting"):
        plan.read(plan.Plan, raw)


@pytest.mark.parametrize("id", ["x" * 129, "あ" * 43, "e\u0301", "coordinator"])
def test_a_plan_names_no_member_that_a_roster_could_not(id: str) -> None:
    raw = plan.plain(compose().plan(MEMBERS, "0" * 64)) | {"members": sorted([*MEMBERS, id])}
    with pytest.raises(ConfigInvalid) as caught:
        plan.read(plan.Plan, raw)
    assert [fault.facts["where"] for fault in caught.value.faults] == ["members"]


@pytest.mark.parametrize(
    ("overrides", "count", "where"),
    [
        (["secagg.corruption_rate=0.1"], 30, "secagg.corruption_rate"),
        (["secagg=k_regular", "secagg.corruption_rate=null"], 30, "secagg.corruption_rate"),
        (["secagg=k_regular", "secagg.dropout_rate=null"], 30, "secagg.dropout_rate"),
        (["secagg=k_regular", "secagg.dropout_rate=0.32", "secagg.corruption_rate=0.3"], 30, "secagg.threat"),
        (["secagg=k_regular"], 5, "secagg.threat"),
    ],
)
def test_rates_and_threat_have_to_fit_each_other_and_the_members(overrides: list[str], count: int, where: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        compose(*overrides).plan(MEMBERS[:count], "0" * 64)
    assert [fault.facts["where"] for fault in caught.value.faults] == [where]


def test_degree_and_threshold_follow_from_the_plan_and_are_not_in_it() -> None:
    made = compose("secagg=k_regular").plan(MEMBERS, "0" * 64)
    found = made.neighbourhoods
    assert found is not None
    assert (found.degree, made.threshold, made.quorum, made.corruptible, made.spare) == (6, 6, 21, 1, 1)
    assert not {"degree", "threshold"} & set(plan.plain(made)["secagg"])
    assert compose().plan(MEMBERS, "0" * 64).neighbourhoods is None


# Folders


@pytest.mark.parametrize(
    "name",
    ["manuals", "社内 文書（2024年版）", "a=b,c", 'it\'s [1] {2}: "3"', "${seed}", "2024", "[x]", "back\\slash'"],
)
def test_a_folder_stands_for_the_path_of_its_group(name: str, workspace: Path) -> None:
    (workspace / name).mkdir()
    config = compose(f"data={name}", f"model=./{name}")

    assert config.data.path == config.model.path == str(workspace / name)


def test_a_folder_that_is_not_there_yet_is_still_a_path(workspace: Path) -> None:
    assert compose("data=../新しい/文書").data.path == str(workspace.parent / "新しい" / "文書")
    assert compose("data=~/文書").data.path == os.path.expanduser("~/文書")
    assert compose("data='./a,b'").data.path == str(workspace / "a,b")
    assert compose("model.path=モデル").model.path == str(workspace / "モデル")
    assert compose("model.path=null").model.path is None


def test_an_option_goes_before_a_folder_of_the_same_name(workspace: Path) -> None:
    (workspace / "demo").mkdir()

    assert compose("data=demo").data.path is None
    assert compose("data=./demo").data.path == str(workspace / "demo")


def test_a_model_is_called_after_its_folder() -> None:
    assert compose("model=./llm-jp-3").plan(MEMBERS, "0" * 64).model.name == "llm-jp-3"
    assert compose("model=./llm-jp-3", "model.name=社内").plan(MEMBERS, "0" * 64).model.name == "社内"


# Model families


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_without_a_folder_is_not_the_demo(family: str) -> None:
    expected = "`model.path` has to be given, there is no default for it here. Add `model.path=/path/to/folder`."
    assert faults(f"model={family}") == [expected]
    assert "`model.path` の指定が必要です" in refusal(f"model={family}").text("ja")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_brings_its_targets_and_the_command_line_has_the_last_word(family: str, workspace: Path) -> None:
    config = compose(f"model={family}", "model.path=./model")
    assert config.model.path == str(workspace / "model")
    assert config.lora.targets == config.model.lora_targets
    assert config.model.dtype == "bfloat16"
    assert compose("lora.targets=[v_proj]", f"model={family}", "model.path=x").lora.targets == ("v_proj",)


def test_a_group_of_one_s_own_goes_before_the_family(workspace: Path) -> None:
    (workspace / "ours" / "lora").mkdir(parents=True)
    (workspace / "ours" / "lora" / "attention.yaml").write_text("r: 2\nalpha: 4\ntargets: [o_proj]\n", encoding="utf-8")
    given = ["hydra.searchpath=[file://ours]", "lora=attention", "model=plamo", "model.path=x"]
    assert compose(*given).lora.targets == ("o_proj",)


def test_a_path_alone_has_the_targets_of_a_llama_like_model() -> None:
    assert compose("model=./somewhere").lora.targets[::3] == ("q_proj", "o_proj", "down_proj")


def test_a_model_is_pinned_by_its_digest() -> None:
    pinned = compose("model=./llm-jp-3", f"model.sha256={'AB' * 32}")
    assert pinned.plan(MEMBERS, "ab" * 32).model.sha256 == "ab" * 32
    with pytest.raises(ModelMismatch) as caught:
        pinned.plan(MEMBERS, "cd" * 32)
    assert caught.value.exit_code == 3
    assert {"ab" * 32, "cd" * 32} == {caught.value.facts["expected"], caught.value.facts["actual"]}
    assert faults("model.sha256=abc") == ["`model.sha256`: a SHA-256 is 64 hexadecimal digits"]


def test_a_folder_and_an_option_of_the_same_group_contradict_each_other(workspace: Path) -> None:
    """Which of them was meant? Documents of somebody else would be learned from without a word."""
    for arguments in (["data=./manuals", "data=demo"], ["data=demo", "data=./manuals"]):
        [fault] = faults(*arguments)
        assert fault.startswith("The argument `data=demo` cannot be used: `data=./manuals` is given, too; keep one")
    assert "`model.path=…`" in faults("model=./models/x", "model=llm_jp")[0]
    assert compose("data=demo", "data.path=./manuals").data.path == str(workspace / "manuals")
    assert compose("data=./manuals", "data=./others").data.path == str(workspace / "others")
