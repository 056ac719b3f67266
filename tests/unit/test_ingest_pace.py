"""How fast and when a site's files are read, and what is said of it."""

import datetime
from pathlib import Path

import pytest

from clients import extracted
from clients.ingest import pace
from clients.ingest.pace import Pace, Progress, followed
from clients.ingest.personal.settings import DEFAULT_SETTINGS
from clients.ingest.preparing import prepared_documents
from federation.commands import Printer
from federation.errors import Language


def test_reads_no_faster_than_told() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    paced = Pace(rate=1e6, sleep=sleep, clock=lambda: now[0])
    paced.begin(3, 3_000_000)
    for _ in range(3):
        now[0] += 0.25
        paced.read(1_000_000)
    assert slept == [0.75, 0.75, 0.75]


def test_waits_for_its_hours_and_says_so() -> None:
    minutes, told = [0], list[Progress]()

    def sleep(seconds: float) -> None:
        minutes[0] += round(seconds / 60)

    def now() -> datetime.datetime:
        return datetime.datetime(2026, 11, 22, 19, 30) + datetime.timedelta(minutes=minutes[0])

    paced = Pace(hours=lambda time: time >= datetime.time(20), tell=told.append, sleep=sleep, now=now)
    paced.begin(1, 10)
    paced.wait()
    paced.wait()
    assert minutes == [30]
    assert [progress.paused for progress in told] == [True]


def test_tells_how_far_it_is_and_how_long_it_takes_by_what_it_took() -> None:
    now, told = [0.0], list[Progress]()
    paced = Pace(tell=told.append, clock=lambda: now[0])
    paced.begin(4, 40_000)
    for _ in range(4):
        now[0] += 3
        paced.read(10_000)
    assert [(each.files, each.bytes, round(each.seconds_left)) for each in told] == [(2, 20_000, 6), (4, 40_000, 0)]


def test_a_step_tells_how_far_it_is_by_the_size_of_what_is_left() -> None:
    now, told = [0.0], list[Progress]()
    for seconds in followed([1, 9, 10, 2], "masking", lambda each: each, told.append, lambda: now[0]):
        now[0] += seconds
    assert [(each.step, each.files, each.files_in_all, each.seconds_left) for each in told] == [
        ("masking", 2, 4, 12.0),
        ("masking", 3, 4, 2.0),
    ]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_step_that_takes_long_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], language: Language
) -> None:
    monkeypatch.setattr(pace, "_EVERY", 0.0)
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"主軸 {number} の軸受を点検する。")
    tell, steps = extracted.telling(Printer(language, as_json=False)), list[str]()

    def both(progress: Progress) -> None:
        tell(progress)
        steps.append(progress.step)

    prepared_documents(tmp_path, personal=DEFAULT_SETTINGS, tell=both)
    assert list(dict.fromkeys(steps)) == ["reading", "cleaning", "masking", "comparing"]
    assert len(set(capsys.readouterr().out.splitlines())) >= 4
