"""The benchmark of an aggregation: its fields, that a wrong sum is noticed, what the coordinator keeps in memory."""

import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from federation.secagg import server

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import bench_secagg
from benchmarks.aggregation import Table, WrongSum

FIELDS = [
    *("values", "members", "dropped", "ring_bits"),
    *("client_cpu_s", "client_limit_cpu_s", "coordinator_cpu_s", "coordinator_limit_cpu_s"),
    *("flower_client_cpu_s", "flower_coordinator_cpu_s"),
    *("bytes_per_value", "overhead_bytes_per_member", "peak_rss_mb"),
]
TINY = ("--values", "3001", "--members", "5", "--dropped", "1")
VECTOR = 4 * 500_000

Patch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


def run(patch: Patch, capture: Capture, *arguments: str) -> tuple[dict[str, Any], str]:
    """The line as data, and what was said beside it."""
    patch.setattr(sys, "argv", ["bench_secagg.py", *arguments])
    bench_secagg.main()
    printed = capture.readouterr()
    return json.loads(printed.out), printed.err


@pytest.mark.parametrize("bits", [16, 32])
def test_without_flower_the_line_has_all_fields_and_says_why_some_are_null(
    bits: int, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line, said = run(monkeypatch, capsys, *TINY, "--ring-bits", str(bits))
    assert list(line) == FIELDS
    assert [line[name] for name in FIELDS[:4]] == [3001, 5, 1, bits]
    assert line["bytes_per_value"] == bits // 8
    assert [name for name in FIELDS if line[name] is None] == ["flower_client_cpu_s", "flower_coordinator_cpu_s"]
    assert "flwr is not installed" in said
    assert all(line[name] > 0 for name in FIELDS if line[name] is not None)


def test_flower_does_the_same_work(monkeypatch: Patch, capsys: Capture) -> None:
    pytest.importorskip("flwr", reason="the flower extra is not installed")
    line, _ = run(monkeypatch, capsys, *TINY, "--threads", "2")
    assert line["flower_client_cpu_s"] > 0
    assert line["flower_coordinator_cpu_s"] > 0


def test_the_coordinator_takes_off_a_mask_a_survivor_and_one_for_each_that_it_shared_with_who_is_gone() -> None:
    assert Table(100, 7, 0, 32, 1).aggregate(lambda: None).masks == 7
    assert Table(100, 7, 2, 32, 1).aggregate(lambda: None).masks == 5 + 2 * 5


def test_a_wrong_sum_is_no_result(monkeypatch: Patch) -> None:
    monkeypatch.setattr(server, "add_masks", lambda vector, masks, threads: None)
    with pytest.raises(WrongSum):
        Table(100, 5, 1, 32, 1).aggregate(lambda: None)


def test_more_than_can_be_spared_are_not_dropped(monkeypatch: Patch, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, capsys, "--members", "30", "--dropped", "10")
    assert "at most 9 may be dropped" in capsys.readouterr().err


def peak_of_an_aggregation(members: int) -> int:
    """Bytes that one aggregation holds at most, one client's included."""
    tracemalloc.start()
    Table(VECTOR // 4, members, 1, 32, 1).aggregate(lambda: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_the_coordinator_keeps_one_sum_and_no_members_vector() -> None:
    few, many = peak_of_an_aggregation(4), peak_of_an_aggregation(14)
    assert VECTOR < few < many < few + VECTOR / 2
