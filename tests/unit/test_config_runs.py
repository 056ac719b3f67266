"""From a checked configuration to jobs: folders, sweeps, flags, and what a failing job leaves."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from aggregator.simulate.config import SimulateConfig
from federation import load_plan
from federation.errors import ConfigInvalid, ModelFolderInvalid, RengoError, UsageError
from federation.sweep import Ended, SweepFailed

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

    with pytest.raises(SweepFailed) as caught:
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

    with pytest.raises(SweepFailed, match="1 of 2"):
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


class Told:
    """Notes what it is told of a sweep."""

    def __init__(self) -> None:
        self.folder, self.jobs, self.ends = Path(), list[tuple[int, int, tuple[str, ...]]](), list[Ended]()

    def begins(self, folder: Path) -> None:
        self.folder = folder

    def job(self, number: int, jobs: int, special: Sequence[str]) -> None:
        self.jobs.append((number, jobs, tuple(special)))

    def ended(self, folder: Path, jobs: Sequence[Ended]) -> None:
        assert folder == self.folder
        self.ends = list(jobs)


def test_each_job_of_a_sweep_is_announced_by_what_varies() -> None:
    told = Told()
    argv = ["-m", "rounds=3", "seed=1,2", "lora.r=4,8", "job=試作"]
    load_plan.run(argv, SimulateConfig, "simulate", lambda *_: None, told)

    assert told.jobs == [
        (1, 4, ("seed=1", "lora.r=4")),
        (2, 4, ("seed=1", "lora.r=8")),
        (3, 4, ("seed=2", "lora.r=4")),
        (4, 4, ("seed=2", "lora.r=8")),
    ]


def test_at_the_end_of_a_sweep_it_is_told_how_each_job_ended() -> None:
    def task(config: SimulateConfig, output: Path) -> None:
        if config.seed == 2:
            raise ModelFolderInvalid(path="x", detail="empty")

    told = Told()
    with pytest.raises(SweepFailed):
        load_plan.run(["-m", "seed=1,2,3"], SimulateConfig, "simulate", task, told)

    assert [(end.number, end.special, type(end.failure)) for end in told.ends] == [
        (1, ("seed=1",), type(None)),
        (2, ("seed=2",), ModelFolderInvalid),
        (3, ("seed=3",), type(None)),
    ]
    assert [end.folder.name for end in told.ends] == ["0", "1", "2"]


def test_a_sweep_goes_on_with_the_settings_it_began_with_wherever_that_is_typed(
    simulate: Simulate, jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = list(simulate("-m", "seed=1,2", "data=./文書", "hydra.sweep.dir=sweep"))
    monkeypatch.chdir("/")
    jobs.clear()

    load_plan.go_on(
        tmp_path / "sweep", SimulateConfig, "simulate", lambda config, output: jobs.append((config, output))
    )

    assert jobs == began


@pytest.mark.parametrize(("change", "code"), [("5", "sweep-changed"), ("", "sweep-damaged")])
def test_a_sweep_that_would_go_on_with_other_settings_is_refused(
    simulate: Simulate, jobs: list[Job], tmp_path: Path, change: str, code: str
) -> None:
    presets = tmp_path / "presets" / "experiment"
    presets.mkdir(parents=True)
    (presets / "ours.yaml").write_text("# @package _global_\nrounds: 3\n", encoding="utf-8")
    argv = (f"hydra.searchpath=[file://{tmp_path}/presets]", "experiment=ours", "hydra.sweep.dir=sweep")
    simulate("-m", "seed=1,2", *argv)
    jobs.clear()
    if change:
        (presets / "ours.yaml").write_text(f"# @package _global_\nrounds: {change}\n", encoding="utf-8")
    else:
        (tmp_path / "sweep" / "sweep.json").write_text("{", encoding="utf-8")

    with pytest.raises(RengoError) as caught:
        load_plan.go_on(tmp_path / "sweep", SimulateConfig, "simulate", lambda *_: None)

    assert (caught.value.code, jobs) == (code, [])


@pytest.mark.parametrize("flags", [["-m"], []])
def test_a_preset_can_be_a_sweep_that_needs_no_flag_and_yields_to_what_is_typed(
    simulate: Simulate, tmp_path: Path, flags: list[str]
) -> None:
    presets = tmp_path / "presets" / "experiment"
    presets.mkdir(parents=True)
    swept = "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      secagg: ring16,ring32\n      seed: 1,2,3\n"
    (presets / "ours.yaml").write_text(f"# @package _global_\nrounds: 3\n{swept}", encoding="utf-8")

    ran = simulate(f"hydra.searchpath=[file://{tmp_path}/presets]", "experiment=ours", "seed=7", *flags)

    assert [(config.rounds, config.secagg.ring_bits, config.seed) for config, _ in ran] == [(3, 16, 7), (3, 32, 7)]


def test_what_is_wrong_with_a_presets_sweep_is_told_before_its_first_job(
    simulate: Simulate, jobs: list[Job], tmp_path: Path
) -> None:
    presets = tmp_path / "presets" / "experiment"
    presets.mkdir(parents=True)
    swept = "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      lora.r: 4,0\n      sed: 1,2\n"
    (presets / "ours.yaml").write_text(f"# @package _global_\n{swept}", encoding="utf-8")

    with pytest.raises(ConfigInvalid) as caught:
        simulate(f"hydra.searchpath=[file://{tmp_path}/presets]", "experiment=ours")

    assert (len(caught.value.faults), jobs) == (2, [])


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
    assert "secagg=k_regular | ring16 | ring32" in printed
