"""Sweeps of real runs: killed and gone on with, side by side, and with a job that fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import copy_members

Overrides = Callable[..., Sequence[str]]
RENGO = Path(sys.executable).with_name("rengo")
SIDE_BY_SIDE = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def summaries(sweep: Path) -> dict[str, dict[str, Any]]:
    found = sorted(sweep.glob("*/summary.json"))
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in found}


def adapters(sweep: Path) -> dict[str, str]:
    return {name: summary["adapter_sha256"] for name, summary in summaries(sweep).items()}


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def rengo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([RENGO, "simulate", *arguments, "--json"], capture_output=True, text=True)


def killed(command: Sequence[str | Path], ready: Callable[[], bool]) -> None:
    """kill -9 of the process that was typed, as soon as it is `ready`."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not ready():
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def rounds(run: Path) -> int:
    """How many lines its metrics have, the first of which is no round."""
    return (run / "metrics.jsonl").read_bytes().count(b"\n") if (run / "metrics.jsonl").exists() else 0


@pytest.fixture(scope="module")
def swept(overrides: Overrides) -> list[str]:
    return ["-m", *overrides("scheme=fedit,alternating", "seed=1,2", "rounds=2")[:]]


def last(typed: Sequence[str]) -> list[str]:
    """Of several values for a setting the last."""
    return list({argument.partition("=")[0]: argument for argument in typed}.values())


@pytest.fixture(scope="module")
def whole(swept: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep without interruption, one job after the other."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    ended = rengo(*last(swept), f"hydra.sweep.dir={folder}")
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.mark.e2e
@pytest.mark.parametrize("launcher", [(), SIDE_BY_SIDE], ids=["basic", "joblib"])
def test_a_sweep_that_is_killed_goes_on_where_it_was(
    launcher: tuple[str, ...], swept: list[str], whole: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    command = [RENGO, "simulate", *last([*swept, *launcher, f"hydra.sweep.dir={sweep}"])]
    in_training = sweep / ("2" if launcher else "1")
    killed(command, lambda: rounds(in_training) >= 2)
    finished = {run: (sweep / run / "summary.json").stat().st_mtime_ns for run in summaries(sweep)}
    assert 0 < len(finished) < 4
    time.sleep(3)  # processes of a sweep that was killed end soon after it

    ended = rengo(f"resume={sweep}")

    assert ended.returncode == 0, ended.stderr
    assert adapters(sweep) == adapters(whole)
    assert {run: (sweep / run / "summary.json").stat().st_mtime_ns for run in finished} == finished
    assert list((in_training).glob("members-interrupted-*")), "it began anew"
    [done] = [event for event in events(ended.stdout) if event["event"] == "sweep_done"]
    assert [job["exit_code"] for job in done["jobs"]] == [0, 0, 0, 0]


@pytest.mark.e2e
def test_jobs_side_by_side_give_what_they_give_one_after_the_other_and_train_a_shared_arm_once(
    overrides: Overrides, tmp_path: Path
) -> None:
    data = copy_members(tmp_path / "members", 7, documents=9)
    typed = overrides("rounds=1", "arms=default", "evaluation.test_share=0.4", f"data={data}")
    settings = ["-m", *typed, "scheme=fedit,alternating"]

    found = []
    for name, launcher in (("one", ()), ("two", SIDE_BY_SIDE)):
        place = [f"arms.cache={tmp_path / name}-cache", f"hydra.sweep.dir={tmp_path / name}"]
        ended = rengo(*last([*settings, *place, *launcher]))
        assert ended.returncode == 0, ended.stderr
        stripped = {run: (s["adapter_sha256"], s["arms"]) for run, s in summaries(tmp_path / name).items()}
        trained = sum(s["seconds"]["arms"] for s in summaries(tmp_path / name).values())
        found.append((stripped, sorted(path.name for path in (tmp_path / f"{name}-cache").glob("*.json")), trained))

    assert found[0][:2] == found[1][:2]
    assert len(found[0][1]) == 3
    assert (tmp_path / "two" / "compare.html").exists()


@pytest.mark.e2e
def test_a_job_that_fails_ends_no_other_and_is_told_with_its_exit_code(overrides: Overrides, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sweep, good = tmp_path / "sweep", next(each for each in overrides() if each.startswith("data="))
    settings = last([*overrides("rounds=1"), f"hydra.sweep.dir={sweep}", f"{good},{tmp_path / 'empty'}", "seed=1,2"])

    ended = rengo("-m", *settings)

    [done] = [event for event in events(ended.stdout) if event["event"] == "sweep_done"]
    codes = [job["exit_code"] for job in done["jobs"]]
    assert codes == [0, 0, 8, 8]
    assert ended.returncode == 8
    assert {job.get("error") for job in done["jobs"]} == {None, "data-folder-invalid"}
    compared = json.loads((sweep / "compare.json").read_text(encoding="utf-8"))
    assert [row["seeds"] for row in compared["rows"]] == [[1, 2]]

    shutil.rmtree(tmp_path / "empty")  # mended: what failed is run, what is finished is not run again
    shutil.copytree(good.removeprefix("data="), tmp_path / "empty")
    before = adapters(sweep)
    ended = rengo(f"resume={sweep}")
    assert ended.returncode == 0, ended.stderr
    assert [event["event"] for event in events(ended.stdout)].count("finished_before") == 2
    assert adapters(sweep) == before | {"2": before["0"], "3": before["1"]}


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("preset", "names"),
    [
        ("controls", ["data.control=none", "data.control=shuffled", "data.control=unrelated"]),
        ("ring_bits", ["secagg.ring_bits=16", "secagg.ring_bits=32"]),
        ("four_arms", ["four-arms"]),
    ],
)
def test_a_preset_of_the_results_runs_from_beginning_to_end(
    preset: str, names: list[str], overrides: Overrides, tmp_path: Path
) -> None:
    """With one round, one seed and hardly any text: not its figures, but that it gives the table."""
    place = "hydra.run.dir" if preset == "four_arms" else "hydra.sweep.dir"
    small = [
        each
        for each in last(overrides("rounds=1", "seed=1", "evaluation.test_share=0.3"))
        if not each.startswith(("arms=", "model."))
    ]

    ended = rengo(f"experiment={preset}", *small, f"arms.cache={tmp_path}", f"{place}={tmp_path / 'out'}")

    assert ended.returncode == 0, ended.stderr
    if preset == "four_arms":
        subprocess.run([RENGO, "compare", tmp_path / "out", "--out", tmp_path / "out"], check=True, capture_output=True)
    compared = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in compared["rows"]] == names
    # In a cipher the test text is another one: nothing may be compared with it.
    assert [row["part"] for row in compared["rows"]] == ([1, 1, 2] if preset == "controls" else [1] * len(names))


@pytest.mark.e2e
def test_a_run_is_run_by_one_process_at_a_time(overrides: Overrides, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [RENGO, "simulate", *last([*overrides(), f"hydra.run.dir={run}"])]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while rounds(run) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        ended = rengo(f"resume={run}")
        assert (ended.returncode, json.loads(ended.stderr)["error"]) == (9, "run-is-running")
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert process.wait() == 0
