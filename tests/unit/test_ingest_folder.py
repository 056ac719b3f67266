"""A folder of files -> documents, whatever lies in it."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from clients.ingest import Document, files, kinds, read_documents, readers
from clients.ingest.content import Content, Facts, Unusable, full_width_kana
from clients.ingest.logs.site import Site
from federation.errors import DataFolderInvalid

DATA = Path(__file__).resolve().parents[1] / "data"


def reasons(folder: Path) -> dict[str, str]:
    reading = read_documents(folder)
    assert all(aside.reason_ja and aside.reason_ja != aside.reason for aside in reading.set_aside)
    return {aside.name: aside.reason for aside in reading.set_aside}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With one good document."""
    (tmp_path / "good.txt").write_text("良い文書", encoding="utf-8")
    return tmp_path


def test_by_name_in_nfc_with_subfolders_and_without_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.TXT").write_bytes("\ufeff一行\r\n二行\r\n".encode())
    (tmp_path / "か\u3099.txt").write_text("が", encoding="utf-8")
    reading = read_documents(tmp_path)
    assert reading.documents == (Document("sub/a.TXT", "一行\n二行\n"), Document("が.txt", "が"))
    assert reading.set_aside == ()


def test_text_in_utf_8_stays_as_it_is_but_for_half_width_kana(tmp_path: Path) -> None:
    text = " 1200rpm〜1500 ①㎜℃\tＡ\u3000ｶﾞｲﾄﾞ\u200b\x0c é x\n\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert read_documents(tmp_path).documents[0].text == text.replace("ｶﾞｲﾄﾞ", "ガイド")


@pytest.mark.parametrize(
    ("half", "full"),
    [("ﾎﾟﾝﾌﾟ｡", "ポンプ。"), ("｢ｳﾞｧ､ｰ｣･", "「ヴァ、ー」・"), ("あﾞ", "あ゛"), ("①㎜℃～〜Ａ㈱", "①㎜℃～〜Ａ㈱")],
)
def test_half_width_kana_become_full_and_nothing_else_changes(half: str, full: str) -> None:
    assert full_width_kana(half) == full


def test_a_document_says_how_it_was_read(folder: Path) -> None:
    (folder / "old.txt").write_bytes("点検手順を確認する。".encode("cp932"))
    facts = {document.name: document.facts for document in read_documents(folder).documents}
    assert facts["good.txt"] == Facts("text", "utf-8", 1.0)
    assert facts["old.txt"].encoding == "cp932"
    assert facts["old.txt"].sure > 0.7


def test_what_cannot_be_used_is_set_aside_with_a_reason(folder: Path) -> None:
    (folder / "binary.txt").write_bytes(bytes(range(128, 256)) * 4)
    (folder / "nul.txt").write_bytes(b"abc\0defghijk")
    (folder / "blank.txt").write_text(" \n")
    (folder / "zero.pdf").write_bytes(b"")
    (folder / "drawing.dwg").write_bytes(b"AC1032")
    (folder / ".hidden.txt").write_text("x")
    (folder / "~$good.docx").write_bytes(b"x")
    (folder / "dead.txt").symlink_to(folder / "nowhere")
    found = reasons(folder)
    assert found.pop("binary.txt").startswith("in no encoding that is read")
    assert found.pop("drawing.dwg").startswith("not a kind of file that is read (.csv, .docm, .docx, .htm")
    assert found == {
        ".hidden.txt": "a hidden or temporary file",
        "blank.txt": "empty",
        "dead.txt": "cannot be read (No such file or directory)",
        "nul.txt": "holds NUL characters",
        "zero.pdf": "empty",
        "~$good.docx": "a hidden or temporary file",
    }


def test_nothing_but_regular_files_is_opened(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    os.mkfifo(folder / "pipe.txt")
    (folder / "to-pipe.txt").symlink_to(folder / "pipe.txt")
    (folder / "device.txt").symlink_to("/dev/zero")
    short = Path(os.path.relpath(folder))  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(min(short / "socket.txt", folder / "socket.txt", key=lambda path: len(str(path)))))
        found = reasons(folder)
    assert found.pop("device.txt") == "a link out of the folder, not followed"
    assert set(found) == {"pipe.txt", "to-pipe.txt", "socket.txt"}
    assert set(found.values()) == {"not a regular file (a pipe, socket or device)"}


def test_links_that_go_round_in_circles(folder: Path) -> None:
    (folder / "up").symlink_to(folder, target_is_directory=True)
    (folder / "one.txt").symlink_to(folder / "other.txt")
    (folder / "other.txt").symlink_to(folder / "one.txt")
    found = reasons(folder)
    assert found["up"] == "a link to a folder, not followed"
    assert found["one.txt"] == found["other.txt"] == "cannot be read (Too many levels of symbolic links)"


def test_a_link_within_the_folder_is_read_and_one_that_leads_out_is_not(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("share") / "original.txt"
    elsewhere.write_text("ほかのフォルダーの文書", encoding="utf-8")
    (folder / "outside.txt").symlink_to(elsewhere)
    (folder / "inside.txt").symlink_to(folder / "good.txt")
    assert reasons(folder) == {
        "inside.txt": "the same text as good.txt",
        "outside.txt": "a link out of the folder, not followed",
    }


def test_a_huge_file_is_not_read(folder: Path) -> None:
    with (folder / "huge.txt").open("wb") as stream:
        stream.truncate(files.LARGEST_FILE + 1)
    assert reasons(folder) == {"huge.txt": "larger than 64 MiB"}


def test_a_file_without_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "secret.txt").write_text("秘密")

    def refuse(file: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "open", refuse)  # tests may run as root, who may read everything
    with pytest.raises(DataFolderInvalid, match="Permission denied"):
        read_documents(folder)


def test_exact_repeats_are_set_aside_in_whatever_format(folder: Path) -> None:
    (folder / "copy.txt").write_bytes("良い文書".encode("cp932"))
    shutil.copy(DATA / "wrapped.pdf", folder / "手順.pdf")
    shutil.copy(DATA / "wrapped.pdf", folder / "手順（コピー）.pdf")
    shutil.copy(DATA / "wrapped.txt", folder / "手順.txt")
    (folder / "log.csv").write_text("日時,温度\n2026-01-01 00:00,1\n", encoding="utf-8")
    (folder / "log2.csv").write_text("日時,温度\n2026-01-01 00:00,1\n", encoding="utf-8")
    assert reasons(folder) == {
        "good.txt": "the same text as copy.txt",
        "log2.csv": "the same text as log.csv",
        "手順.txt": "the same text as 手順.pdf",
        "手順（コピー）.pdf": "the same text as 手順.pdf",
    }


def test_a_name_from_an_old_archive_can_be_printed(folder: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/" + "日報.txt".encode("cp932")))).write_text("本日の作業")
    assert [document.name for document in read_documents(folder).documents] == ["good.txt", "日報.txt"]


def test_a_parser_that_breaks_stops_nothing_and_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes, name: str, site: Site) -> Content:
        raise ValueError("the password is P@ssw0rd789")

    monkeypatch.setitem(readers.READERS, ".html", broken)
    with pytest.raises(Unusable, match=r"^damaged, or not a \.html file \(ValueError\)$"):
        readers.parse("<p>本文".encode(), "page.html")


def test_there_is_a_reader_for_every_kind_of_file_that_is_said_to_be_read() -> None:
    assert {*readers.READERS, ".zip"} == kinds.KINDS


def test_old_formats_are_set_aside_with_a_way_out(folder: Path) -> None:
    for name in ("表.xls", "表.xlsb", "手順.doc", "説明.ppt", "図面.xdw"):
        (folder / name).write_bytes(b"\xd0\xcf\x11\xe0" + name.encode())
    assert reasons(folder) == {
        "表.xls": "a .xls file: save it as .xlsx",
        "表.xlsb": "a .xlsb file: save it as .xlsx",
        "手順.doc": "a .doc file: save it as .docx",
        "説明.ppt": "a .ppt file: save it as .pptx",
        "図面.xdw": "a DocuWorks file: export it as PDF",
    }


def test_a_file_that_changes_while_it_is_read(folder: Path) -> None:
    changing = folder / "growing.txt"
    changing.write_text("一行目", encoding="utf-8")
    with pytest.raises(Unusable, match="it changed while it was read"), files.opened(changing, folder):
        changing.write_text("一行目と二行目", encoding="utf-8")


def test_no_folder_or_nothing_readable(tmp_path: Path) -> None:
    with pytest.raises(DataFolderInvalid, match="no such folder"):
        read_documents(tmp_path / "nowhere")
    (tmp_path / "a.dwg").write_bytes(b"PK")
    with pytest.raises(DataFolderInvalid, match=r"among its 1 file\(s\); a.dwg: not a kind of file") as caught:
        read_documents(tmp_path)
    assert "対応する形式" in caught.value.text("ja")


def test_a_file_of_a_time_that_no_table_holds_is_read(tmp_path: Path) -> None:
    (tmp_path / "手順.txt").write_text("弁を閉じる", encoding="utf-8")
    os.utime(tmp_path / "手順.txt", (13_569_465_600, 13_569_465_600))  # the year 2400: its nanoseconds have 64 bits
    assert [each.text.strip() for each in read_documents(tmp_path).documents] == ["弁を閉じる"]


def test_a_file_that_became_a_link_out_of_the_folder_after_it_was_looked_at_is_not_read(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "給与.txt"
    outside.write_text("秘密の文書", encoding="utf-8")
    looked_at = folder / "z.txt"
    looked_at.write_text("手順", encoding="utf-8")
    files.examine(folder, looked_at)
    looked_at.unlink()
    looked_at.symlink_to(outside)
    with pytest.raises(Unusable, match="a link out of the folder"), files.opened(looked_at, folder):
        raise AssertionError("it was opened")


def test_folders_in_folders_a_thousand_deep_stop_nothing(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1_200):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (folder / "手順.txt").write_text("弁を閉じる", encoding="utf-8")
    try:
        assert "手順.txt" in {document.name for document in read_documents(folder).documents}
    finally:
        subprocess.run(["rm", "-r", folder / "a"], check=True)  # pytest would call itself for each level
