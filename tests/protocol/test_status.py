"""What `rengo coordinator status` and `watch` say of real rounds, to a person and to a program."""

import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from aggregator import cli, rounds, status, status_text
from aggregator.home import Home, Settings
from aggregator.status import Status, Watch
from federation.commands import Printer
from federation.errors import JobStopped
from federation.registry import APPROVED, REFUSED
from tests.protocol.consortium import Consortium, Losing, make_consortium

GONE = "m03"
LOCAL = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"
"""A local time with its offset."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "coordinator")
    made.create(Settings("研究会", "https://127.0.0.1:1", "127.0.0.1:2", "127.0.0.1", 5))
    return made


def watching(home: Home, consortium: Consortium) -> Watch:
    return Watch(home.path / "status.json", consortium.plan, Printer("en", as_json=True))


def current(home: Home) -> Status:
    found = status.read(home.path / "status.json")
    assert found is not None
    return found


def rows(text: str) -> Mapping[str, str]:
    """Label -> value."""
    return dict(line.split(": ", 1) for line in text.splitlines())


def run(home: Home, consortium: Consortium) -> list[tuple[int, str, list[str]]]:
    """A job in which one member is away from round 2 on: (round, `status`, `watch` in Japanese) after each event."""
    watch = watching(home, consortium)
    seen: list[tuple[int, str, list[str]]] = []

    def observe(event: rounds.Event) -> None:
        watch.observe(event)
        now = current(home)
        seen.append((now.round, status_text.text(now, "en"), status_text.news(now, "ja")))

    store = consortium.store()
    lost = {(round, step, GONE): "request" for round in (2, 3) for step in ("keys", "masked")}
    rounds.run(consortium.job, Losing(consortium, lost), store, observe)  # type: ignore[arg-type]
    store.close()
    return seen


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[tuple[int, str, list[str]]]]:
    """`run`, and its home afterwards."""
    folder = tmp_path_factory.mktemp("watched")
    return Home(folder), run(Home(folder), make_consortium(folder))


def test_a_round_is_told_in_labelled_lines_in_the_language_asked_for(
    watched: tuple[Home, list[tuple[int, str, list[str]]]],
) -> None:
    home, seen = watched
    of = current(home).rounds
    shown = [rows(text) for _, text, _ in seen]
    assert any(each["Now"] == f"round 1 of {of} · training, masked updates" for each in shown)
    assert any(each["Now"].startswith("final measurement · ") for each in shown)
    assert not any(f"round {of + 1}" in text for _, text, _ in seen)
    assert all(re.fullmatch(LOCAL, each["Since"]) and re.fullmatch(LOCAL, each["Until"]) for each in shown)
    assert all(each["Coordinator"] == f"runs (process {os.getpid()})" for each in shown)
    assert any(f"学習回 1/{of} · 学習・秘匿した更新の送信" in lines[-1] for _, _, lines in seen)
    last = rows(status_text.text(current(home), "en"))
    assert last["Not in it"] == f"{GONE} (no answer)"
    assert last["Last sum"].startswith("final measurement, 4 of 5 (4 needed): m00, m01, m02, m04")


def test_who_is_awaited_is_who_was_asked_and_has_not_answered(
    watched: tuple[Home, list[tuple[int, str, list[str]]]],
) -> None:
    _, seen = watched
    first = rows(seen[0][1])  # when the first exchange began
    assert first["Answered"].startswith("0 of 5")
    assert first["Awaited"] == "m00, m01, m02, m03, m04"
    assert rows(seen[1][1])["Awaited"] == "m01, m02, m03, m04"


def test_a_refusal_stands_until_the_member_is_heard_again_and_explains_who_is_missing(
    home: Home, tmp_path: Path
) -> None:
    consortium = make_consortium(tmp_path)
    consortium.start_member(GONE, plan=consortium.second_job("別の計画").plan)
    watch, store = watching(home, consortium), consortium.store()
    rounds.run(consortium.job, Losing(consortium, {}), store, watch.observe)
    store.close()
    now = current(home)
    assert now.refused[GONE].startswith("wrong-terms: ")
    assert now.dropped == {GONE: now.refused[GONE]}
    shown = rows(status_text.text(now, "en"))
    assert shown["Out"].startswith(f"{GONE} (wrong-terms: ")
    assert shown["Not in it"].startswith(f"{GONE} (wrong-terms: ")
    assert GONE not in shown["Answered"]


def test_while_waiting_everyone_has_approved_refused_or_not_answered(home: Home, tmp_path: Path) -> None:
    consortium = make_consortium(tmp_path)
    watch = watching(home, consortium)
    watch.consents({"m00": (APPROVED, ""), "m01": (REFUSED, "契約審査中"), "stranger": (APPROVED, "")})
    english = rows(status_text.text(current(home), "en"))
    assert english["Now"] == "waiting for approvals of the plan"
    assert english["Approved"] == "1 of 5 (4 needed): m00"
    assert english["Refused the plan"] == "m01 (契約審査中)"
    assert english["Has not answered"] == "m02, m03, m04"
    japanese = rows(status_text.text(current(home), "ja"))
    assert japanese["計画を拒否"] == "m01 (契約審査中)"
    watch.phase(status.CONNECTING, set())
    assert rows(status_text.text(current(home), "en"))["Not connected"] == "m00"


def test_a_job_that_stopped_says_why(home: Home, tmp_path: Path) -> None:
    watch = watching(home, make_consortium(tmp_path))
    watch.stopped(JobStopped(job="溶接", round=2, detail="nobody is left.", detail_ja="誰もいません。"))
    assert "nobody is left." in rows(status_text.text(current(home), "en"))["Now"]
    assert "誰もいません。" in rows(status_text.text(current(home), "ja"))["現在"]


def test_a_program_gets_the_same_keys_and_utc_beside_the_epoch(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watching(home, make_consortium(tmp_path)).phase(status.DONE)
    assert cli.main(["status", "--home", str(home.path), "--json"], "ja") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["phase"], facts["running"], facts["pid"]) == ("done", True, os.getpid())
    since = datetime.datetime.fromisoformat(facts["since_utc"])
    assert (since.utcoffset(), int(since.timestamp())) == (datetime.timedelta(0), int(facts["since"]))
    assert facts["deadline_utc"] == ""
    assert {"job", "round", "rounds", "step", "members", "online", "answered", "survivors", "refused"} <= facts.keys()


def test_watch_tells_each_line_once_and_ends_with_the_job(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its looks are ours here: nothing happens between some of them, but the status file is written anew."""
    consortium = make_consortium(tmp_path)
    watch = watching(home, consortium)
    looks = iter(
        [
            lambda: watch.consents({}),
            lambda: watch.consents({"m00": (APPROVED, "")}),
            lambda: watch.phase(status.CONNECTING, {"m00"}),
            lambda: watch.phase(status.CONNECTING, {"m00"}),
            lambda: watch.phase(status.CONNECTING, {"m00", "m01"}),
            lambda: watch.phase(status.DONE),
        ]
    )
    monkeypatch.setattr("aggregator.commands.running.time.sleep", lambda _: next(looks)())
    assert cli.main(["watch", "--home", str(home.path)], "en") == 0
    missing = "Has not answered: m01, m02, m03, m04"
    assert capsys.readouterr().out.splitlines() == [
        "walk · waiting for approvals of the plan · Approved: 0 of 5 (4 needed): - · "
        "Has not answered: m00, m01, m02, m03, m04",
        f"walk · waiting for approvals of the plan · Approved: 1 of 5 (4 needed): m00 · {missing}",
        f"walk · waiting for members to connect · Connected: 1 of 5 (4 needed): m00 · {missing}",
        f"walk · waiting for members to connect · Connected: 2 of 5 (4 needed): m00, m01 · {missing}",
        "walk · done, the adapter is written",
    ]


@pytest.mark.parametrize("verb", ["status", "watch"])
def test_where_no_coordinator_has_run_that_is_said(verb: str, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--home", str(home.path)], "ja") == 9
    assert capsys.readouterr().out == "動作中の事務局はありません。\n"


def test_a_coordinator_that_is_gone_is_not_said_to_run(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watching(home, make_consortium(tmp_path))
    path = home.path / "status.json"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": int(gone.stdout)}))
    assert cli.main(["watch", "--home", str(home.path)], "en") == 9
    assert capsys.readouterr().out.splitlines()[-1] == "The coordinator does not run."
    shown = rows(status_text.text(current(home), "en"))
    assert shown["Coordinator"] == "does not run"
    assert "Now" not in shown
