"""`rengo coordinator stop|pause|resume|quarantine`: how they reach a coordinator that runs, and what they say."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator import cli, status
from aggregator.commands.running import NoJob, NotPaused
from aggregator.home import Home
from aggregator.registry_refusals import UnknownToRegistry
from aggregator.status import Status, note_serving
from federation.errors import Language
from federation.process_lock import running
from tests.unit.site import DOCUMENTS, call, consortium, three_sites

PATIENCE = 60


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return consortium(tmp_path).home


@pytest.fixture
def served(home: Home) -> Iterator[subprocess.Popen[str]]:
    """`rengo coordinator start`, a process of its own that listens."""
    command = [sys.executable, "-m", "federation.main", "coordinator", "start", "--home", str(home.path), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "listening" in process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def stands(home: Home, phase: str, pid: int | None = None) -> None:
    """The status of a job at a phase, written by this process or by another one."""
    home.job("溶接").mkdir(parents=True, exist_ok=True)
    status._write(
        home.path / "status.json", Status(pid or os.getpid(), "溶接", phase, round=2, rounds=3, step="masked")
    )


def said(home: Home, verb: str, language: Language, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    cli.main([verb, "--home", str(home.path)], language)
    return capsys.readouterr().out


def test_stop_waits_until_the_coordinator_is_gone(home: Home, served: subprocess.Popen[str]) -> None:
    assert running(home.path) == served.pid
    assert call(cli.main, "stop", "--home", home.path) == {"stopped": True, "running": False}
    assert running(home.path) is None
    assert served.wait(PATIENCE) == 130  # as with Ctrl-C: told to, and in order
    assert call(cli.main, "status", "--home", home.path, exit_code=9)["running"] is False


def test_stop_says_that_none_runs_and_ends_no_other_program(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    (home.path / "lock").write_text(str(os.getpid()))  # what a coordinator that is gone has left
    assert call(cli.main, "stop", "--home", home.path, exit_code=9) == {"stopped": False, "running": False}
    assert said(home, "stop", "ja", capsys) == f"{home.path} で動作中の事務局はありません\n"


def test_a_pause_is_asked_for_and_lifted(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    stands(home, status.ROUND)
    assert call(cli.main, "pause", "--home", home.path) == {"job": "溶接", "paused": True}
    assert home.pause_mark("溶接").exists()
    assert call(cli.main, "status", "--home", home.path)["pause_asked"] is True
    assert "Pause: when this round has ended" in said(home, "status", "en", capsys)
    assert "進行中の学習回の終了後" in said(home, "pause", "ja", capsys)  # once more says the same
    stands(home, status.PAUSED)
    assert "現在: 一時停止中" in (shown := said(home, "status", "ja", capsys))
    assert "終了後" not in shown
    assert call(cli.main, "resume", "--home", home.path) == {"job": "溶接", "paused": False}
    assert not home.pause_mark("溶接").exists()
    with pytest.raises(NotPaused) as caught:
        call(cli.main, "resume", "--home", home.path)
    assert caught.value.exit_code == 9


def test_a_job_whose_coordinator_does_not_run_can_be_paused_and_resumed(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    stands(home, status.ROUND, gone.pid)
    assert "also when the coordinator is started anew" in said(home, "pause", "en", capsys)
    assert "Pause: before the next attempt" in said(home, "status", "en", capsys)
    assert "rengo coordinator start PLAN" in said(home, "resume", "en", capsys)


def test_a_member_is_put_in_quarantine_and_let_in_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with three_sites(tmp_path) as (made, _):
        pass
    bad = DOCUMENTS[1]
    capsys.readouterr()
    assert call(cli.main, "quarantine", bad, "--home", made.home.path) == {"id": bad, "quarantined": True}
    cli.main(["members", "--home", str(made.home.path)], "ja")
    shown = [line for line in capsys.readouterr().out.splitlines() if "隔離中" in line]
    assert [line.split()[0] for line in shown] == [bad]
    members = call(cli.main, "members", "--home", made.home.path)["members"]
    assert [member["state"] for member in members] == ["in roster", "quarantined", "in roster"]
    written = Status(os.getpid(), "溶接", status.ROUND, members=list(DOCUMENTS), needed=3)
    status._write(made.home.path / "status.json", written)
    cli.main(["quarantine", bad, "--home", str(made.home.path)], "en")
    assert "Too few are left for a round of 溶接 (2, 3 needed): it waits." in capsys.readouterr().out
    lifted = call(cli.main, "quarantine", bad, "--lift", "--home", made.home.path)
    assert lifted == {"id": bad, "quarantined": False}
    with pytest.raises(UnknownToRegistry):
        call(cli.main, "quarantine", "nobody", "--home", made.home.path)


def test_without_a_job_there_is_nothing_to_pause(home: Home) -> None:
    for prepare in (lambda: None, lambda: note_serving(home.path / "status.json"), lambda: stands(home, status.DONE)):
        prepare()
        for verb in ("pause", "resume"):
            with pytest.raises(NoJob) as caught:
                call(cli.main, verb, "--home", home.path)
            assert caught.value.exit_code == 9
