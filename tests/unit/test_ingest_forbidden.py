"""What a marked file says is forbidden in copies that look alike, and a folder by the name that it really has."""

from pathlib import Path

import pytest

from clients.ingest import read_documents
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
