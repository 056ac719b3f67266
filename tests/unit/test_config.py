"""conf/ and the command line that changes it: every file loads, every wrong argument is named before anything runs."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from aggregator.simulate.config import Dropouts, SimulateConfig
from federation import load_plan, plan
from federation.errors import ConfigInvalid, ModelFolderInvalid, ModelMismatch, RengoError, UsageError

CONF = Path(load_plan.__file__).parent.parent / "conf"
FAMILIES = sorted(file.stem for file in CONF.glob("model/*.yaml") if file.stem != "demo_base")
OPTIONS = [f"{file.parent.name}={file.stem}" for file in sorted(CONF.glob("*/*.yaml"))]
MEMBERS = tuple(f"member-{number:02}" for number in range(30))

Job = tuple[SimulateConfig, Path]
Simulate = Callable[..., list[Job]]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of one's own: outputs land there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def jobs() -> list[Job]:
    return []


@pytest.fixture
def simulate(jobs: list[Job]) -> Simulate:
    """Run the real thing; its task notes what it was called with."""

    def run(*argv: str) -> list[Job]:
        load_plan.run(argv, SimulateConfig, "simulate", lambda config, output: jobs.append((config, output)))
        return jobs

    return run


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
    assert made.model == plan.Model("rengo-demo-base", "0" * 64, "bfloat16", "cpu", 2)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_makes_a_plan(option: str) -> None:
    given = ["model.path=./model"] if option.removeprefix("model=") in FAMILIES else []
    compose(option, *given).plan(MEMBERS, "0" * 64)


def test_a_preset_changes_what_it_names_and_the_command_line_has_the_last_word() -> None:
    quick = compose("experiment=quick", "seed=7")

    assert (quick.rounds, quick.train.tokens_per_round, quick.seed) == (2, 256, 7)


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_knob_has_a_comment_and_every_file_its_command(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("# ")]
    knobs = [line for line in lines if re.match(r" *(- )?[\w/ ]+: *[^ #]", line)]

    assert knobs
    assert [line for line in knobs if " # " not in line] == []
    assert any("rengo simulate" in line for line in header)


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
        ("scheme=fedti", "`scheme` is 'fedti'; it has to be alternating | fedit."),
        ("scheme=null", "`scheme` is 'null'; it has to be alternating | fedit."),
        ("secagg=ring64", "`secagg` is 'ring64'; it has to be ring16 | ring32."),
        ("data=nowhere", "`data` is 'nowhere'; it has to be demo | PATH."),
        ("experiment=fast", "`experiment` is 'fast'; it has to be four_arms | quick | null."),
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


# Running


def test_a_job_gets_its_configuration_and_an_empty_folder(simulate: Simulate, workspace: Path) -> None:
    [(config, output)] = simulate("consortium=名古屋製造業コンソーシアム", "job=試作", "lora.r=4")

    assert (config.consortium, config.lora.r) == ("名古屋製造業コンソーシアム", 4)
    assert re.fullmatch(r"試作-\d{8}-\d{6}", output.name)
    assert output.parent == workspace / "outputs"
    assert list(output.iterdir()) == []
    assert list(workspace.iterdir()) == [workspace / "outputs"]


def test_a_sweep_runs_every_combination(simulate: Simulate, workspace: Path) -> None:
    ran = simulate("-m", "seed=range(1,3)", "secagg=glob(ring*)", "data=文書 1/,./文書2")

    tried = {(config.seed, config.secagg.ring_bits, config.data.path) for config, _ in ran}
    assert len(ran) == len(tried) == 8
    assert {config.data.path for config, _ in ran} == {str(workspace / "文書 1"), str(workspace / "文書2")}
    assert sorted(int(output.name) for _, output in ran) == list(range(8))
    assert len({output.parent for _, output in ran}) == 1


def test_a_sweep_is_checked_whole_before_its_first_job(simulate: Simulate, jobs: list[Job], workspace: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        simulate("--multirun", "seed=1,2", "lora.r=4,0,-1", "scheme=fedit,fedti", "train.tokens_per_step=512,300")

    assert sorted(str(fault.facts["where"]) for fault in caught.value.faults) == [
        "lora.r",
        "lora.r",
        "scheme",
        "train.tokens_per_round",
        "train.tokens_per_step",
    ]
    assert jobs == []
    assert list(workspace.iterdir()) == []


def test_jobs_that_fail_do_not_stop_the_others_but_the_exit_code_tells() -> None:
    done = []

    def task(config: SimulateConfig, output: Path) -> None:
        if config.seed == 2:
            raise ModelFolderInvalid(path="モデル", detail="empty")
        done.append(config.seed)

    with pytest.raises(load_plan.SweepFailed) as caught:
        load_plan.run(["-m", "seed=1,2,3"], SimulateConfig, "simulate", task)

    assert done == [1, 3]
    assert caught.value.exit_code == ModelFolderInvalid.exit_code == 3
    assert caught.value.text("en").startswith(
        "1 of 3 jobs failed; the results of the others are complete:\n  - seed=2: "
    )
    assert "モデル" in caught.value.text("ja")


@pytest.mark.parametrize("argv", [[], ["-m", "seed=1,2"]])
def test_a_bug_shows_its_traceback_and_exits_70(argv: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    def task(config: SimulateConfig, output: Path) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(RengoError, match="ZeroDivisionError") as caught:
        load_plan.run(argv, SimulateConfig, "simulate", task)

    assert caught.value.exit_code == 70
    assert "in task" in capfd.readouterr().err


def test_an_error_of_the_job_comes_out_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    def task(config: SimulateConfig, output: Path) -> None:
        raise ModelFolderInvalid(path="x", detail="empty")

    with pytest.raises(ModelFolderInvalid):
        load_plan.run([], SimulateConfig, "simulate", task)

    assert capfd.readouterr() == ("", "")


def test_cfg_prints_and_does_not_run(
    simulate: Simulate, jobs: list[Job], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate("--cfg", "job", "lora.r=4", "data=./文書")

    assert f"path: {workspace}/文書" in capsys.readouterr().out
    with pytest.raises(ConfigInvalid):
        simulate("--cfg", "job", "+typo=1")
    assert jobs == []


def test_hydra_s_own_settings_pass(simulate: Simulate, workspace: Path) -> None:
    presets = workspace / "presets" / "experiment"
    presets.mkdir(parents=True)
    (presets / "ours.yaml").write_text("# @package _global_\nrounds: 3\n", encoding="utf-8")

    [(config, output)] = simulate(
        "hydra.run.dir=somewhere/else", "hydra.searchpath=[file://presets]", "experiment=ours", "hydra/launcher=basic"
    )

    assert config.rounds == 3
    assert output == workspace / "somewhere" / "else"


def test_a_sweep_with_joblib(workspace: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="optional extra")

    def task(config: SimulateConfig, output: Path) -> None:
        if config.seed == 2:
            raise ModelFolderInvalid(path="x", detail="empty")
        (output / "done").write_text(str(os.getpid()), encoding="utf-8")

    with pytest.raises(load_plan.SweepFailed, match="1 of 2"):
        load_plan.run(
            ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=1,2"], SimulateConfig, "simulate", task
        )

    [done] = workspace.glob("outputs/sweep-*/0/done")
    assert done.read_text(encoding="utf-8") != str(os.getpid())


def test_two_runs_of_one_second_have_a_folder_each(simulate: Simulate, jobs: list[Job]) -> None:
    for _ in range(2):
        simulate("job=same")
    simulate("hydra.run.dir=chosen")
    first, second, chosen = (output for _, output in jobs)
    assert first != second
    assert chosen.name == "chosen"
    with pytest.raises(ConfigInvalid):
        simulate("lora.rank=8")
    assert {folder.name for folder in first.parent.iterdir()} == {first.name, second.name}


@pytest.mark.parametrize("argv", [[], ["-m", "seed=1,2"]])
def test_a_refused_run_leaves_no_folder(argv: list[str], workspace: Path) -> None:
    def task(config: SimulateConfig, output: Path) -> None:
        raise ModelFolderInvalid(path="x", detail="empty")

    with pytest.raises(RengoError):
        load_plan.run(argv, SimulateConfig, "simulate", task)

    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("argv", [[], ["-m", "seed=1,2"]])
def test_a_reader_who_goes_away_is_no_failure_of_the_job(argv: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    def task(config: SimulateConfig, output: Path) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        load_plan.run(argv, SimulateConfig, "simulate", task)

    assert capfd.readouterr() == ("", "")


def test_each_job_of_a_sweep_is_announced_by_what_varies() -> None:
    told: list[tuple[int, int, list[str]]] = []
    argv = ["-m", "rounds=3", "seed=1,2", "lora.r=4,8", "job=試作"]
    load_plan.run(argv, SimulateConfig, "simulate", lambda *_: None, lambda *facts: told.append(facts))

    assert told == [
        (1, 4, ["seed=1", "lora.r=4"]),
        (2, 4, ["seed=1", "lora.r=8"]),
        (3, 4, ["seed=2", "lora.r=4"]),
        (4, 4, ["seed=2", "lora.r=8"]),
    ]


@pytest.mark.parametrize("argv", [["--typo"], ["--cfg", "jobs"]])
def test_an_unknown_option_is_a_usage_error(argv: list[str], simulate: Simulate) -> None:
    with pytest.raises(UsageError, match="rengo simulate --help"):
        simulate(*argv)


def test_help_shows_the_commented_settings_and_the_options(
    simulate: Simulate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate("--help") == []

    printed = capsys.readouterr().out
    assert "rengo simulate -m" in printed
    assert "secagg=ring16 | ring32" in printed
