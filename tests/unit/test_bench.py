"""What the benchmarks rest on: both sides train on the same text, and memory is read and summed as it should be."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clients.dataset import Blocks, Ids, pack

pytest.importorskip("accelerate", reason="the bench extra is not installed")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from benchmarks import demo, processes
from benchmarks.hugging_face import batch_size, documents_of, rows, share_of

LENGTH, PAD = 8, 0
ROLLUP = """55d0c0000000-7ffd000000 ---p 00000000 00:00 0    [rollup]
Rss:              101000 kB
Pss:               40123 kB
Pss_Dirty:           900 kB
Pss_Anon:            800 kB
"""


def documents(*sizes: int) -> list[Ids]:
    """Documents of these many tokens, every token another."""
    return np.split(np.arange(1, sum(sizes) + 1, dtype=np.int32), np.cumsum(sizes)[:-1])


def text_of(given: list[dict[str, list[int]]]) -> list[int]:
    return [token for row in given for token in row["input_ids"]]


class TestRows:
    def test_hold_the_same_tokens_as_the_documents_and_none_twice(self) -> None:
        given = documents(3, 20, 8, 17)
        made = rows(given, LENGTH)
        assert text_of(made) == np.concatenate(given).tolist()
        assert max(len(row["input_ids"]) for row in made) == LENGTH
        assert all(row["labels"] == row["input_ids"] for row in made)

    def test_do_not_mix_documents(self) -> None:
        assert [len(row["input_ids"]) for row in rows(documents(3, 20), LENGTH)] == [3, 8, 8, 4]

    @pytest.mark.parametrize("sizes", [(3, 20, 8, 17), (8, 8), (2, 2, 2), (40,)])
    def test_documents_come_back_out_of_blocks(self, sizes: tuple[int, ...]) -> None:
        given = documents(*sizes)
        unpacked = documents_of(pack(given, LENGTH, PAD))
        assert [document.tolist() for document in unpacked] == [document.tolist() for document in given]

    def test_a_part_keeps_the_token_that_its_last_label_names(self) -> None:
        part: Blocks = pack(documents(3, 20, 8), LENGTH, PAD).first(9)
        made = rows(documents_of(part), 100)
        assert sum(len(row["input_ids"]) - 1 for row in made) == part.predicted == 9

    def test_a_step_has_about_the_tokens_asked_for(self) -> None:
        assert batch_size(rows(documents(6, 6, 6), LENGTH), 13) == 2
        assert batch_size(rows(documents(6, 6), LENGTH), 1) == 1


class TestShares:
    def test_rounds_follow_each_other_through_all_text(self) -> None:
        given = rows(documents(3, 20, 8, 17), LENGTH)
        parts = [share_of(given, round, 12, seed=1) for round in (1, 2, 3, 4)]
        assert [len(text_of(part)) for part in parts] == [12] * 4
        assert sorted(text_of([row for part in parts for row in part])) == sorted(text_of(given))

    def test_who_is_short_of_text_starts_over(self) -> None:
        given = rows(documents(5, 4), LENGTH)
        assert len(text_of(share_of(given, 7, 25, seed=2))) == 25


def test_the_leading_documents_are_cut_to_the_tokens_asked_for() -> None:
    assert [len(ids) for ids in demo.leading(documents(5, 6, 7), 8)] == [5, 3]
    assert [len(ids) for ids in demo.leading(documents(5, 6), 100)] == [5, 6]


class TestProcesses:
    def test_pss_is_the_total_and_no_part_of_it(self) -> None:
        assert processes.parse_pss(ROLLUP) == 40123
        assert processes.parse_pss("") is None

    def test_a_grandchild_that_left_its_parent_is_counted_and_ended(self, tmp_path: Path) -> None:
        stray = "import time; held = bytearray(b'1' * 60_000_000); time.sleep(60)"
        leave = (
            f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {stray!r}], start_new_session=True)"
        )
        began = time.monotonic()
        measured = processes.measure([sys.executable, "-c", f"{leave}; time.sleep(2)"], {}, tmp_path / "log", 0.1)
        assert measured.processes == 2
        assert measured.peak_mb > 60
        assert measured.wall_s < 30
        assert time.monotonic() - began < 40  # it did not wait for the stray

    def test_a_command_that_fails_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(processes.ChildFailed, match="the reason"):
            processes.measure([sys.executable, "-c", "raise SystemExit('the reason')"], {}, tmp_path / "log", 0.1)
