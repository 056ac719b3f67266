"""The benchmark by the number of members: its lines, and that it draws them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import bench_scale
from benchmarks import remote
from benchmarks.aggregation import Members, Meter, WrongSum

LINES = Path(__file__).resolve().parents[2] / "docs/results/scale.jsonl"


def lines(patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    patch.setattr(sys, "argv", ["bench_scale.py", *arguments])
    bench_scale.main()
    return [json.loads(line) for line in capture.readouterr().out.splitlines()]


def test_a_line_for_each_number_of_members(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    [line] = lines(monkeypatch, capsys, "--members", "20", "--values", "500")
    assert (line["members"], line["degree"], line["threshold"], line["dropped"]) == (20, 6, 6, 1)
    assert all(line[field] > 0 for field, _ in bench_scale.PANELS)
    assert list(line) == list(json.loads(LINES.read_text(encoding="utf-8").splitlines()[0]))


def test_a_wrong_sum_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    members = Members(100, 5, 32, 1, Meter())
    monkeypatch.setattr(members, "_expected_sum", 1)
    with pytest.raises(WrongSum):
        remote.aggregate(members, members.names)


def test_the_kept_lines_are_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert lines(monkeypatch, capsys, "--plot", str(tmp_path / "scale.png"), str(LINES)) == []
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")
