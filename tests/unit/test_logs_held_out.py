"""A log's day that was held out is not trained on when it comes again in another export, or once its own is gone."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from clients.ingest.logs import read, told_rows
from clients.manifest import Manifest
from tests.unit.frozen_site import PLAN, data_of, freeze, make_site
from tests.unit.site import Site

START = datetime(2026, 11, 1)
HELD = {"test", "validation"}


def written(folder: Path, name: str, days: list[int], machine: str = "MC-01") -> None:
    """An export of some days, with a reading every ten minutes."""
    lines = [f"設備番号,{machine}", "日時,炉温[℃],圧力[kPa]"]
    for day in days:
        chance = random.Random(f"{machine} {day}")
        for n in range(144):
            when = START + timedelta(days=day, minutes=10 * n)
            lines.append(f"{when:%Y/%m/%d %H:%M},{chance.uniform(0, 900):.1f},{chance.uniform(0, 90):.2f}")
    (folder / name).write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path)
    for day in range(18):
        written(data_of(site), f"日報{day:02}.csv", [day])
    return site


def uses(made: Manifest) -> dict[str, str]:
    return {entry.name: entry.use for entry in made.entries}


def next_job(site: Site) -> dict[str, str]:
    return uses(freeze(site, plan=replace(PLAN, job="job-2")))


def days(found: dict[str, str], of: set[str]) -> list[int]:
    return [int(name[2:4]) for name, use in found.items() if name.startswith("日報") and use in of]


@pytest.mark.parametrize("name", ["月報.csv", "0月報.csv"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_months_export_of_both_sides_is_in_no_part(site: Site, name: str, gone: bool) -> None:
    first = uses(freeze(site))
    assert days(first, {"train"})
    assert days(first, HELD)
    written(data_of(site), name, list(range(18)))
    for file in data_of(site).glob("日報*") if gone else ():
        file.unlink()
    assert not next_job(site)[name]


def test_a_new_day_that_a_months_export_tells_too_is_used(site: Site) -> None:
    """Being in one family with it, it would be in no part either."""
    (data_of(site) / "日報03.csv").unlink()
    freeze(site)
    written(data_of(site), "日報03.csv", [3])
    written(data_of(site), "月報.csv", list(range(18)))
    second = next_job(site)
    assert not second["月報.csv"]
    assert second["日報03.csv"]


def test_an_export_of_held_out_days_is_held_out_and_one_of_new_days_is_dealt(site: Site) -> None:
    first = uses(freeze(site))
    written(data_of(site), "held.csv", days(first, HELD))
    written(data_of(site), "trained.csv", days(first, {"train"})[:3])
    written(data_of(site), "other.csv", list(range(18)), "MC-02")
    for file in data_of(site).glob("日報*"):
        file.unlink()
    second = next_job(site)
    assert second["held.csv"] in HELD
    assert second["trained.csv"] == "train"
    assert second["other.csv"]


def test_exports_that_come_together_are_on_one_side(site: Site) -> None:
    """Rows of all but the latest exports are told twice."""
    written(data_of(site), "月報.csv", list(range(18)))
    found = uses(freeze(site))
    repeated = {f"日報{day:02}.csv" for day in range(10)}
    both = {found[name] for name in ("月報.csv", *repeated)}
    assert len(both) == 1


def retold(folder: Path, name: str, days: list[int], how: str) -> None:
    """`written`, in another form: of each row the same time and readings."""
    written(folder, name, days)
    path = folder / name
    _, header, *rows = path.read_text().splitlines()
    forms = {
        "no machine": [header, *rows],
        "another machine's name": ["設備番号,1号機", header, *rows],
        "one column more": [f"{header},扉", *(f"{row},閉" for row in rows)],
        "one of numbers more": [f"{header},流量", *(f"{row},{n * n % 89}" for n, row in enumerate(rows))],
        "numbered": [f"No,{header}", *(f"{n},{row}" for n, row in enumerate(rows, start=1))],
        "other names": ["日時,T1,P1", *rows],
        "long": [
            "日時,タグ,値",
            *(
                f"{row.split(',')[0]},{tag},{row.split(',')[at]}"
                for row in rows
                for at, tag in ((1, "炉温"), (2, "圧力"))
            ),
        ],
    }
    path.write_text("\n".join(forms[how]) + "\n")


FORMS = (
    "no machine",
    "another machine's name",
    "one column more",
    "one of numbers more",
    "numbered",
    "other names",
    "long",
)


@pytest.mark.parametrize("how", FORMS)
def test_readings_are_known_again_in_another_form(tmp_path: Path, how: str) -> None:
    for day in (3, 4, 5, 6):
        written(tmp_path, f"日報{day}.csv", [day])
    written(tmp_path, "MC-02.csv", [4], "MC-02")
    retold(tmp_path, "held.csv", [4, 5], how)
    names = ("held.csv", *(f"日報{day}.csv" for day in (3, 4, 5, 6)), "MC-02.csv")
    logs = [read((tmp_path / name).read_bytes(), name).log for name in names]
    assert told_rows.sharing([log.rows for log in logs if log]) == [(0, 2), (0, 3)]


@pytest.mark.parametrize("how", ["another machine's name", "one of numbers more"])
def test_held_out_readings_are_not_trained_on_in_another_form(site: Site, how: str) -> None:
    first = uses(freeze(site))
    retold(data_of(site), "held.csv", days(first, HELD), how)
    assert next_job(site)["held.csv"] in HELD
    retold(data_of(site), "月報.csv", list(range(18)), how)
    (data_of(site) / "held.csv").unlink()
    assert not next_job(site)["月報.csv"]


class TestChosenRows:
    @pytest.mark.parametrize(("shared", "own"), [(1, 1), (1, 3), (2, 2)])
    def test_tags_that_all_machines_have_make_no_two_logs_one(self, shared: int, own: int) -> None:
        times = np.arange(6000, dtype=np.int64) * 60_000
        tags = np.random.default_rng(2).random((shared + 2 * own, 6000))
        outside, mine, others = tags[:shared], tags[shared : shared + own], tags[shared + own :]
        one, other = (told_rows.stretches((times, tag) for tag in (*outside, *each)) for each in (mine, others))
        assert len(one) > 400
        assert not np.isin(one, other).any()

    def test_counters_and_standing_machines_are_no_sign(self) -> None:
        times = np.arange(600, dtype=np.int64) * 60_000
        counters = np.arange(600) / 10, np.ones(600), np.arange(600) // 100 / 1
        assert len(told_rows.stretches((times, tag) for tag in counters)) == 0
        assert len(told_rows.stretches([])) == 0

    def test_a_short_export_is_known_in_a_long_one(self) -> None:
        every = np.random.default_rng(1).integers(0, 2**63, 60_000).astype(np.uint64)
        long, short, other = (told_rows.chosen(part) for part in (every[:50_000], every[7:2_007], every[50_000:]))
        assert len(long) <= told_rows.MOST * told_rows.DIGITS
        assert told_rows.sharing([long, "", short, other]) == [(0, 2)]
        assert told_rows.sharing([]) == []

    def test_a_day_is_known_by_its_stretches_in_a_years_export_of_other_columns(self) -> None:
        """Rows are eight times as many, and these have nothing in common."""
        minutes, day = 365 * 1440, slice(200 * 1440, 201 * 1440)
        draw = np.random.default_rng(3)
        times, tags = np.arange(minutes, dtype=np.int64) * 60_000, draw.random((2, minutes))
        rows, others = draw.integers(0, 2**62, (2, minutes)).astype(np.uint64)
        of_year, of_day = (
            told_rows.stretches((times, tag) for tag in tags),
            told_rows.stretches((times[day], tag[day]) for tag in tags),
        )
        year = told_rows.chosen(np.concatenate([rows, of_year]))
        short = told_rows.chosen(np.concatenate([others[day], of_day]))
        assert len(year) <= 2 * told_rows.MOST * told_rows.DIGITS
        assert told_rows.sharing([year, short]) == [(0, 1)]
