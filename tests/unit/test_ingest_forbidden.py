"""What a marked file says is forbidden under every name: in copies that look alike, in other exports of a log, and also
while the file cannot be read. And a folder has the name that it really has."""

import errno
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clients.ingest import Texts, read_documents, read_folders
from tests.unit.test_ingest_marks import put

SAID = "主軸を点検する。\n弁を閉じる。"


@pytest.mark.parametrize("copy", [f"{SAID}\n", f"\n{SAID}", f"{SAID} \n\n", SAID.replace("\n", "\r\n\r\n")])
def test_a_copy_that_differs_in_blanks_and_line_ends_is_forbidden(tmp_path: Path, copy: str) -> None:
    put(tmp_path / "社外秘" / "原本.txt", SAID)
    put(tmp_path / "写し.txt", copy)
    put(tmp_path / "別.txt", "ほかの文書")
    reading = read_documents(tmp_path)
    assert [each.name for each in reading.documents] == ["別.txt"]
    assert "the same text as 社外秘/原本.txt, which is marked" in {aside.reason for aside in reading.set_aside}


def test_a_data_folder_that_is_a_link_bears_the_marks_of_where_it_leads(tmp_path: Path) -> None:
    put(tmp_path / "極秘" / "手順.txt", SAID)
    (tmp_path / "docs").symlink_to(tmp_path / "極秘")
    reading = read_documents(tmp_path / "docs", permitted=["極秘"])
    assert [each.marks for each in reading.documents] == [{"極秘"}]


def test_a_trial_of_a_folder_takes_the_mark_that_its_files_count_as_bearing(tmp_path: Path) -> None:
    put(tmp_path / "手順.txt", SAID)
    (document,) = read_documents(tmp_path, permitted=["社外秘"], unmarked="社外秘").documents
    assert document.marks == {"社外秘"}


def test_what_a_marked_file_says_is_forbidden_under_every_name(tmp_path: Path) -> None:
    (tmp_path / "社外秘").mkdir()
    (tmp_path / "社外秘" / "手順.txt").write_bytes("弁を閉じる".encode("cp932"))
    (tmp_path / "a.txt").write_text("弁を閉じる", encoding="utf-8")
    (tmp_path / "z.txt").write_text("ほかの文書", encoding="utf-8")
    reading = read_documents(tmp_path)
    assert [document.name for document in reading.documents] == ["z.txt"]
    assert {aside.name: aside.reason for aside in reading.set_aside} == {
        "a.txt": "the same text as 社外秘/手順.txt, which is marked",
        "社外秘/手順.txt": "marked 社外秘, which is not permitted here",
    }


@pytest.mark.parametrize("denied", ["the file", "its folder"])
def test_a_marked_file_that_cannot_be_read_now_still_forbids_its_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    marked = put(tmp_path / "極秘" / "原本.txt", "")
    marked.write_bytes("主軸を点検する。".encode("cp932"))  # its bytes say nothing of the copy's
    put(tmp_path / "公開" / "写し.txt", "主軸を点検する。")
    put(tmp_path / "公開" / "別.txt", "弁を閉じる。")
    with Texts() as texts:
        assert len(read_folders([tmp_path], texts).documents) == 1
        os.utime(marked, (1, 1))  # something of it is new, so that it has to be opened
        with monkeypatch.context() as failing:
            deny(failing, marked if denied == "the file" else marked.parent)
            reading = read_folders([tmp_path], texts)
        assert [document.name for document in reading.documents] == ["公開/別.txt"]
        assert "the same text as 極秘/原本.txt, which is marked" in {aside.reason for aside in reading.set_aside}
        marked.unlink()
        assert len(read_folders([tmp_path], texts).documents) == 2  # it is gone: the copy is a file like any other


def log_of(days: range, header: str = "日時,炉温[℃],圧力[kPa]", more: str = "") -> str:
    lines = [header]
    for day in days:
        chance = random.Random(day)
        for n in range(144):
            read = f"{chance.uniform(0, 900):.1f},{chance.uniform(0, 90):.2f}{more}"
            lines.append(f"2026/11/{day:02} {n // 6:02}:{n % 6}0,{read}")
    return "\n".join(lines) + "\n"


def test_rows_of_a_marked_log_that_cannot_be_read_now_are_told_by_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = put(tmp_path / "極秘" / "1日.csv", log_of(range(1, 2)))
    put(tmp_path / "月.csv", log_of(range(1, 4)))
    put(tmp_path / "別.csv", log_of(range(5, 6)))
    with Texts() as texts:
        first = {each.name: each.text for each in read_folders([tmp_path], texts).documents}
        assert "2026-11-01" not in first["月.csv"]
        assert "2026-11-02" in first["月.csv"]
        os.utime(marked, (1, 1))
        with monkeypatch.context() as failing:
            deny(failing, marked)
            reading = read_folders([tmp_path], texts)
        assert [each.name for each in reading.documents] == ["別.csv"]
        (aside,) = [each for each in reading.set_aside if each.name == "月.csv"]
        assert aside.reason == "tells rows of 極秘/1日.csv, which is marked"


@pytest.mark.parametrize(
    "other",
    [
        "設備番号,MC-07\n" + log_of(range(1, 4)),
        log_of(range(1, 4), "日時,炉温[℃],圧力[kPa],扉", ",閉"),
        log_of(range(1, 4), "日時,T1,P1"),
    ],
)
def test_rows_of_a_marked_log_are_told_by_no_export_with_other_columns(tmp_path: Path, other: str) -> None:
    put(tmp_path / "1日.csv", "機密区分,社外秘\n" + log_of(range(1, 2)))
    put(tmp_path / "月.csv", other)
    put(tmp_path / "別.csv", log_of(range(5, 6)))
    assert [each.name for each in read_documents(tmp_path).documents] == ["別.csv"]


def deny(patch: pytest.MonkeyPatch, denied: Path) -> None:
    """Opening it fails, as it does for who may not; root may everything."""
    for name in ("open", "scandir"):
        patch.setattr(os, name, partial(_denying, getattr(os, name), denied))


def _denying(call: Callable[..., Any], denied: Path, path: Any, *more: Any, **named: Any) -> Any:
    if not isinstance(path, int) and Path(os.fsdecode(path)) == denied:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
    return call(path, *more, **named)
