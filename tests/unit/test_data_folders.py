"""`rengo member data add`: several folders, in a file that people edit."""

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from clients import data_folders
from clients.data_folders import FolderNotAdded
from clients.home import Home, Settings, write
from clients.journal import Journal
from federation.errors import ConfigInvalid, DataFolderInvalid, UsageError
from tests.unit.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    manuals = tmp_path / "手順書"
    manuals.mkdir()
    for number in range(3):
        (manuals / f"{number}.txt").write_text(f"手順書 {number}", encoding="utf-8")
    home = Home(tmp_path / "member")
    home.create(Settings("toyo", "https://127.0.0.1:1", str(manuals), "demo"), bytes(32), "PEM")
    with closing(Journal(home.file("journal.sqlite"))):
        return Site(home.path)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "記録"
    folder.mkdir()
    (folder / "日報.txt").write_text("日報の本文", encoding="utf-8")
    return folder


def test_a_folder_is_added_and_all_else_in_the_file_stays(site: Site, logs: Path) -> None:
    toml = site.home.file("member.toml")
    toml.write_text(toml.read_text(encoding="utf-8") + "# 現場のメモ\n", encoding="utf-8")
    before = toml.read_text(encoding="utf-8").splitlines()
    facts = site.run("data", "add", logs)
    assert facts["folders"] == [str(site.path.parent / "手順書"), str(logs)]
    after = toml.read_text(encoding="utf-8").splitlines()
    assert [a for a, b in zip(after, before, strict=True) if a != b] == [
        f"data     = {json.dumps(facts['folders'], ensure_ascii=False)}"
    ]
    assert site.home.settings().folders == tuple(map(Path, facts["folders"]))
    assert toml.stat().st_mode & 0o777 == 0o600
    rows = site.run("journal", "export")["rows"]
    assert (rows[-1]["content"], str(logs) in rows[-1]["note"]) == ("data", True)


def test_of_several_that_add_at_once_none_is_lost(site: Site, tmp_path: Path) -> None:
    folders = [tmp_path / f"記録{number}" for number in range(4)]
    for folder in folders:
        folder.mkdir()
        (folder / "日報.txt").write_text(f"{folder.name}の日報", encoding="utf-8")
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=start) as pool:
        list(pool.map(_add, [site.path] * 4, folders))
    assert set(site.home.settings().default_marks) == set(folders)


def _add(home: Path, folder: Path) -> None:
    """As on a slow disk: between reading and writing there is time for another."""

    def slowly(*written: Any) -> None:
        time.sleep(0.3)
        write(*written)

    with mock.patch.object(data_folders, "write", slowly):
        Site(home).run("data", "add", folder, "--mark", "社外秘")


def test_a_trial_of_a_folder_below_takes_its_mark(site: Site, logs: Path) -> None:
    site.run("data", "add", logs, "--mark", "社外秘")
    (logs / "下").mkdir()
    (logs / "下" / "b.txt").write_text("下の日報", encoding="utf-8")
    for folder in (logs, logs / "下"):
        with pytest.raises(DataFolderInvalid, match="counts as 社外秘"):
            site.run("data", "report", folder)


def test_documents_of_all_folders_are_read(site: Site, logs: Path) -> None:
    assert site.run("data", "report")["totals"]["used"] == 3
    site.run("data", "add", logs)
    assert site.run("data", "report")["totals"]["used"] == 4
    files = {file["file"] for file in site.run("data", "where")["files"]}
    assert str(logs / "日報.txt") in files
    assert all(Path(file).is_file() for file in files)
    assert "日報の本文" in site.said("data", "sample", "--file", "記録/日報.txt")


def test_more_can_be_added_one_after_the_other_or_at_once(site: Site, logs: Path, tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("三 つ目", '四"つ目\\')]
    for folder in others:
        folder.mkdir()
    site.run("data", "add", logs)
    assert site.run("data", "add", *others)["folders"][1:] == [str(logs), *map(str, others)]
    assert site.home.settings().folders[1:] == (logs, *others)


class TestDefaultMark:
    def test_files_without_a_mark_in_such_a_folder_are_set_aside_unless_it_is_permitted(
        self, site: Site, logs: Path
    ) -> None:
        (logs / "手順書.txt").write_text("手順書 1", encoding="utf-8")  # as one in the other folder
        (logs / "部外秘.txt").write_text("別の本文", encoding="utf-8")
        facts = site.run("data", "add", logs, "--mark", "社外秘")
        assert facts["unmarked"] == {str(logs): "社外秘"}
        reasons = {file["path"]: file["reason"] for file in site.run("data", "report")["files"]}
        assert reasons["記録/日報.txt"].startswith("counts as 社外秘 as its folder's unmarked files do")
        assert reasons["記録/部外秘.txt"].startswith("marked 部外秘")
        assert reasons["手順書/1.txt"] == "the same text as 記録/手順書.txt, which is marked"
        assert reasons["手順書/0.txt"] == ""
        site.set_policy(permitted_marks='["社外秘"]')
        reasons = {file["path"]: file["reason"] for file in site.run("data", "report")["files"]}
        assert reasons["記録/日報.txt"] == ""
        assert reasons["記録/部外秘.txt"].startswith("marked 部外秘")

    def test_can_be_given_to_a_folder_that_is_there_and_taken_away(self, site: Site) -> None:
        manuals = site.path.parent / "手順書"
        before = site.home.settings()
        site.run("data", "add", manuals, "--mark", "秘")
        assert site.home.settings().default_marks == {manuals: "秘"}
        assert site.home.settings().folders == before.folders
        site.run("data", "add", manuals, "--mark", "極秘")
        assert site.home.settings().default_marks == {manuals: "極秘"}
        site.run("data", "add", manuals, "--mark", "none")
        assert site.home.settings().default_marks == {}
        assert "none" in site.run("journal", "export")["rows"][-1]["note"]

    @pytest.mark.parametrize("line", ["/無い = 社外秘", "{} = 内緒", "{}", "社外秘"])
    def test_that_is_none_is_told(self, site: Site, line: str) -> None:
        toml = site.home.file("member.toml")
        entry = line.format(site.path.parent / "手順書")
        toml.write_text(toml.read_text(encoding="utf-8") + f'unmarked = ["{entry}"]\n', encoding="utf-8")
        with pytest.raises(ConfigInvalid, match="FOLDER = MARK"):
            site.home.settings()


def test_a_relative_path_is_written_down_as_an_absolute_one(
    site: Site, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(logs.parent)
    assert site.run("data", "add", logs.name)["folders"][-1] == str(logs)


@pytest.mark.parametrize("which", ["itself", "inside", "above", "home", "a link to it"])
def test_a_folder_that_overlaps_is_refused(site: Site, which: str, tmp_path: Path) -> None:
    manuals = tmp_path / "手順書"
    (manuals / "下").mkdir()
    (link := tmp_path / "リンク").symlink_to(manuals)
    chosen = {
        "itself": manuals,
        "inside": manuals / "下",
        "above": tmp_path,
        "home": site.path,
        "a link to it": link,
    }[which]
    before = site.home.file("member.toml").read_bytes()
    with pytest.raises(FolderNotAdded) as caught:
        site.run("data", "add", chosen)
    assert caught.value.exit_code == 2
    assert site.home.file("member.toml").read_bytes() == before


def test_one_that_does_not_open_is_refused_and_none_of_the_others_added(site: Site, logs: Path, tmp_path: Path) -> None:
    before = site.home.file("member.toml").read_bytes()
    with pytest.raises(DataFolderInvalid, match="no such folder"):
        site.run("data", "add", logs, tmp_path / "typo")
    with pytest.raises(UsageError):
        site.run("data", "add")
    assert site.home.file("member.toml").read_bytes() == before


@pytest.mark.parametrize("blank", [" ", "\u3000"])
def test_a_name_that_ends_in_a_blank_gets_no_mark_that_could_not_be_read_again(site: Site, blank: str) -> None:
    folder = site.path.parent / f"記録{blank}"
    folder.mkdir()
    before = site.home.file("member.toml").read_bytes()
    with pytest.raises(FolderNotAdded, match="blank"):
        site.run("data", "add", folder, "--mark", "社外秘")
    assert site.home.file("member.toml").read_bytes() == before
    assert site.run("data", "add", folder)["folders"][-1] == str(folder)


def test_a_list_over_several_lines_is_left_to_the_person_who_wrote_it(site: Site, logs: Path) -> None:
    toml = site.home.file("member.toml")
    lines = toml.read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("data"))
    manuals = str(site.path.parent / "手順書")
    toml.write_text("\n".join(lines).replace(line, f'data = [\n  "{manuals}",\n]'), encoding="utf-8")
    assert site.home.settings().folders == (Path(manuals),)
    before = toml.read_bytes()
    with pytest.raises(FolderNotAdded, match="by hand"):
        site.run("data", "add", logs)
    assert toml.read_bytes() == before


def test_a_file_from_before_there_were_several_folders_and_hours_is_read(site: Site) -> None:
    settings = site.home.settings()
    assert isinstance(settings.data, str)
    assert (settings.read_mb_per_s, settings.read_hours) == (0, "any")


@pytest.mark.parametrize("line", ['read_hours = "8-17"', "read_mb_per_s = -1", "read_mbps = 1", "data2 = 1"])
def test_a_limit_of_reading_that_is_none_is_told(site: Site, line: str) -> None:
    toml = site.home.file("member.toml")
    toml.write_text(toml.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(ConfigInvalid):
        site.home.settings()


def test_limits_of_reading_are_those_of_the_file(site: Site) -> None:
    toml = site.home.file("member.toml")
    more = 'read_hours = "20:00-06:00"\nread_mb_per_s = 2.5\n'
    toml.write_text(toml.read_text(encoding="utf-8") + more, encoding="utf-8")
    settings = site.home.settings()
    assert (settings.read_mb_per_s, settings.read_hours) == (2.5, "20:00-06:00")
