"""`rengo member status` says how far a site is by what its journal holds of real rounds."""

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aggregator import rounds
from clients import cli, status_text
from clients.home import Home, Settings
from clients.journal import Journal
from clients.process import alone
from tests.protocol.consortium import Consortium, Losing, make_consortium

ME = "m00"


def part(consortium: Consortium) -> tuple[int, str]:
    """As another process reads it."""
    with closing(Journal(consortium.folder / "members" / ME / "journal.sqlite")) as journal:
        return status_text.part(journal, consortium.plan.job)


def test_the_steps_of_a_job_are_told_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    consortium = make_consortium(tmp_path)
    seen, train = [part(consortium)], consortium.learners[ME].train

    def looking(*arguments: object) -> object:
        seen.append(part(consortium))
        return train(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(consortium.learners[ME], "train", looking)
    with closing(consortium.store()) as store:
        rounds.run(consortium.job, Losing(consortium, {}), store, lambda _: seen.append(part(consortium)))
    told = list(dict.fromkeys(seen))
    last = consortium.plan.rounds + 1
    # Keys of the next round travel with the end of this one: in a steady round they are no step of their own.
    steady = [(round, step) for round in range(2, last) for step in ("training", "sent", "done")]
    first = [(0, "none"), (1, "keys"), (1, "training"), (1, "sent"), (1, "done")]
    assert told == [*first, *steady, (last, "sent"), (last, "done")]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A site whose service runs, in the second of three exchanges of round 1."""
    consortium = make_consortium(tmp_path)
    home = Home(tmp_path / "members" / ME)
    home.create(Settings(ME, "https://127.0.0.1:1", str(tmp_path), "demo"), bytes(32), "PEM")
    lost = {(1, "agreed", name): "request" for name in consortium.names}
    with closing(consortium.store()) as store, pytest.raises(rounds.JobStopped):
        rounds.run(consortium.job, Losing(consortium, lost), store, lambda _: None)  # type: ignore[arg-type]
    status = {"pid": os.getpid(), "phase": "waiting", "job": consortium.plan.job, "since": 1.0, "requests": 3}
    home.file("status.json").write_text(json.dumps(status | {"rounds": consortium.plan.rounds, "detail": ""}))
    with alone(home.path):
        yield home


def test_a_person_reads_it_in_the_language_asked_for(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--home", str(home.path)], "en") == 0
    english = capsys.readouterr().out.splitlines()
    assert english[0] == f"Member: {ME}, runs (process {os.getpid()})"
    assert english[1] == "Now: ready, waiting for the coordinator"
    assert re.fullmatch(r"Since: 1970-01-01 \d\d:00:01[+-]\d\d:\d\d", english[2])
    assert english[3] == "Job: walk · round 1 of 2: update sent, the sum is not opened yet"
    cli.main(["status", "--home", str(home.path)], "ja")
    japanese = capsys.readouterr().out
    assert "ジョブ: walk · 学習回 1/2: 更新を送信済み、合計は未開示" in japanese
    assert "動作中" in japanese


def test_a_program_gets_the_round_beside_the_keys_that_were_there(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["status", "--home", str(home.path), "--json"], "ja")
    facts = json.loads(capsys.readouterr().out)
    assert (facts["round"], facts["rounds"], facts["step"]) == (1, 2, "sent")
    assert facts["since_utc"] == "1970-01-01T00:00:01+00:00"
    assert {"pid", "phase", "job", "since", "requests", "detail", "running"} <= facts.keys()


def test_the_log_tells_each_round_and_the_end_of_the_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    consortium = make_consortium(tmp_path)
    with caplog.at_level(logging.INFO, "clients.member"):
        consortium.run()
    mine = [record.getMessage() for record in caplog.records if record.args and record.args[0] == ME]
    assert mine == [
        "m00: round 1 of 2: trained, the masked update leaves",
        "m00: round 1 of 2: done here, its shares leave to open the sum",
        "m00: round 2 of 2: trained, the masked update leaves",
        "m00: round 2 of 2: done here, its shares leave to open the sum",
        "m00: final measurement: the masked losses leave",
        "m00: final measurement done here; with it, job walk ends for this site",
    ]
