"""How fast and when a site's files are read, and what is said of it."""

import datetime

from clients.ingest.pace import Pace, Progress


def test_reads_no_faster_than_told() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(rate=1e6, sleep=sleep, clock=lambda: now[0])
    pace.begin(3, 3_000_000)
    for _ in range(3):
        now[0] += 0.25
        pace.read(1_000_000)
    assert slept == [0.75, 0.75, 0.75]


def test_waits_for_its_hours_and_says_so() -> None:
    minutes, told = [0], list[Progress]()

    def sleep(seconds: float) -> None:
        minutes[0] += round(seconds / 60)

    def now() -> datetime.datetime:
        return datetime.datetime(2026, 11, 22, 19, 30) + datetime.timedelta(minutes=minutes[0])

    pace = Pace(hours=lambda time: time >= datetime.time(20), tell=told.append, sleep=sleep, now=now)
    pace.begin(1, 10)
    pace.wait()
    pace.wait()
    assert minutes == [30]
    assert [progress.paused for progress in told] == [True]


def test_tells_how_far_it_is_and_how_long_it_takes_by_what_it_took() -> None:
    now, told = [0.0], list[Progress]()
    pace = Pace(tell=told.append, clock=lambda: now[0])
    pace.begin(4, 40_000)
    for _ in range(4):
        now[0] += 3
        pace.read(10_000)
    assert [(each.files, each.bytes, round(each.seconds_left)) for each in told] == [(2, 20_000, 6), (4, 40_000, 0)]
