"""The labelled files of tests/truth are read no worse than scripts/measure_truth.py recorded."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import measure_truth  # noqa: E402

FILES = sorted(path for path in (measure_truth.TRUTH / "files").rglob("*") if path.is_file())
RATES = json.loads((measure_truth.TRUTH / "rates.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(measure_truth.TRUTH / "files").as_posix())
def test_no_file_is_read_worse_than_before(path: Path) -> None:
    found = measure_truth.measured(path)
    if isinstance(RATES[found.name], str):
        assert found.reason == RATES[found.name]
    else:
        assert found.rate is not None, found.reason
        assert found.rate <= RATES[found.name] + 0.00001


def test_every_file_has_a_rate_and_the_docs_say_the_same() -> None:
    assert {path.relative_to(measure_truth.TRUTH / "files").as_posix() for path in FILES} == set(RATES)
    docs = measure_truth.DOCS.read_text(encoding="utf-8")
    for name, rate in RATES.items():
        file_format, kind, maker = name.rsplit(".", 1)[0].split("/")
        row = next(line for line in docs.splitlines() if line.startswith(f"| {file_format} | ") and f"{kind} (" in line)
        assert maker in docs, row
        assert isinstance(rate, str) or f"| {100 * rate:.2f} % |" in docs


@pytest.mark.parametrize(
    ("wanted", "found", "distance"),
    [
        ("", "", 0),
        ("", "ab", 2),
        ("ab", "", 2),
        ("点検手順", "点検手順", 0),
        ("kitten", "sitting", 3),
        ("abc" * 40, "bc" * 40, 40),
    ],
)
def test_the_distance_is_the_fewest_changes(wanted: str, found: str, distance: int) -> None:
    assert measure_truth.distance(wanted, found) == distance
