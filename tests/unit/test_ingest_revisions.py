"""Old files, by their names: folders for old ones, and revisions with a newer one beside them."""

from pathlib import Path

import pytest

from clients.ingest import read_documents
from clients.ingest.revisions import in_old_folder, is_old, superseded
from tests.growth import LINEAR, growth


@pytest.mark.parametrize(
    ("name", "is_old"),
    [
        ("旧/手順.txt", True),
        ("手順書/旧版/手順.txt", True),
        ("手順書/（旧）/手順.txt", True),
        ("01_廃版/a/手順.txt", True),
        ("_old/手順.txt", True),
        ("OLD2/手順.txt", True),
        ("資料.zip/旧版/手順.txt", True),
        ("旧版.zip/手順.txt", True),
        ("資料.zip/old.ZIP/手順.txt", True),
        ("ＯＬＤ/手順.txt", True),
        ("旧版フォルダ/手順.txt", True),
        ("旧資料一式/手順.txt", True),
        ("旧工場/手順.txt", False),
        ("旧工場一式/手順.txt", False),
        ("旧工場.zip/手順.txt", False),
        ("threshold/手順.txt", False),
        ("旧版.txt", False),
        ("旧手順書/手順.txt", True),
        ("廃版図面/手順.txt", True),
        ("過去版/手順.txt", True),
        ("旧バージョン/手順.txt", True),
        ("旧版（参考）/手順.txt", True),
        ("旧・廃版/手順.txt", True),
        ("旧版_2019年/手順.txt", True),
        ("旧 本社/手順.txt", False),
        ("旧型機/手順.txt", False),
        ("過去データ/手順.txt", False),
        ("廃液処理/手順.txt", False),
    ],
)
def test_folders_for_old_files(name: str, is_old: bool) -> None:
    assert in_old_folder(name) == is_old


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("手順_旧版.pdf", True),
        ("【廃版】手順.pdf", True),
        ("手順（旧）.pdf", True),
        ("旧版 手順.pdf", True),
        ("手順_旧.pdf", True),
        ("旧_手順.pdf", True),
        ("手順_廃版.pdf", True),
        ("旧 本社の手順.pdf", False),
        ("old.txt", False),
        ("手順_old.pdf", True),
        ("threshold_old_value.pdf", True),
        ("旧型との違い.pdf", False),
        ("廃止手続き.pdf", False),
        ("旧版/手順.pdf", False),
    ],
)
def test_files_that_their_own_names_call_old(name: str, old: bool) -> None:
    assert is_old(name) == old


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("手順書 第2版.pdf", "手順書 第10版.docx"),
        ("手順書_改訂1.txt", "手順書_改訂2.txt"),
        ("手順書（改訂第１版）.txt", "手順書（改訂第２版）.txt"),
        ("手順書.txt", "手順書_改2.txt"),
        ("手順書第二版.txt", "手順書第三版.txt"),
        ("手順書_初版.txt", "手順書_第2版.txt"),
        ("手順 第2版（2020年4月）.pdf", "手順 第3版.pdf"),
        ("手順_第2版 (1).pdf", "手順_第3版.pdf"),
        ("手順書.txt", "手順書_初版.txt"),
        ("手順書第二版.txt", "手順書第十一版.txt"),
        ("手順書第十九版.txt", "手順書第二十版.txt"),
        ("手順書第二十版.txt", "手順書第二十一版.txt"),
        ("S_第1版.zip/手順.txt", "S_第2版.zip/別の手順.txt"),
        ("資料.zip/S_第1版.zip/a/手順.txt", "資料.zip/S_第2版.zip/手順.txt"),
        ("spec Rev.A.pdf", "spec Rev.C.pdf"),
        ("spec_v1.9.pdf", "Spec_V1.10.pdf"),
        ("spec-ver2.pdf", "spec-ver3.pdf"),
        ("資料.zip/手順 rev1.txt", "資料.zip/手順 rev2.txt"),
    ],
)
def test_the_newest_revision_wins(older: str, newer: str) -> None:
    assert superseded([older, newer, "ほか.txt"]) == {older}
    assert superseded([newer, older]) == {older}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("日報_20261121.xlsx", "日報_20261122.xlsx"),
        ("A/手順_rev1.txt", "B/手順_rev2.txt"),
        ("手順1.txt", "手順2.txt"),
        ("手順書.zip/目次.txt", "手順書 改2.pdf"),
        ("S_第1版.zip/手順.txt", "T_第2版.zip/手順.txt"),
        ("手順 第2版.txt", "手順 第2版.pdf"),
        ("driver1.txt", "driver2.txt"),
        ("MC-01.txt", "MC-02.txt"),
        ("第2版.txt", "第3版.txt"),
        ("nav1.txt", "nav2.txt"),
    ],
)
def test_what_is_no_revision_of_the_other(one: str, other: str) -> None:
    assert superseded([one, other]) == set()


@pytest.mark.parametrize("piece", ["(", "旧", "初版", "第1版(", "_旧"])
def test_a_long_name_in_an_archive_takes_no_more_than_its_length(piece: str) -> None:
    def judge(count: int) -> None:
        name = f"{piece * count}.txt"
        superseded([name])
        is_old(name)

    assert growth(judge, 8_000) < LINEAR


def test_both_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "旧版").mkdir()
    for name in ("旧版/手順.txt", "手順_rev1.txt", "手順_rev2.txt"):
        (tmp_path / name).write_text(f"{name} の本文", encoding="utf-8")
    reading = read_documents(tmp_path)
    assert [document.name for document in reading.documents] == ["手順_rev2.txt"]
    assert {aside.name: (aside.reason, aside.reason_ja) for aside in reading.set_aside} == {
        "旧版/手順.txt": ("in a folder of old files", "旧版・廃版のフォルダーにあります"),
        "手順_rev1.txt": ("a newer revision is beside it", "新しい改訂版があります"),
    }
