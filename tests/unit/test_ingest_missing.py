"""A share below a data folder that is away is never all deleted, and who deleted files can say so."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clients.home import Home, Settings
from clients.ingest import FolderUnreachable, Texts, read_folders
from clients.ingest.missing import MANY
from clients.journal import Journal
from federation.errors import UsageError
from tests.unit.site import Site

_MOUNTED = """
import subprocess, sys
from pathlib import Path
from clients.ingest import FolderUnreachable, Pace, Texts, read_folders

folder, store, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
share = folder / "共有"
subprocess.run(["mount", "-t", "tmpfs", "none", share], check=True)
(share / "手順.txt").write_text("共有フォルダーの手順書", encoding="utf-8")
away = lambda: subprocess.run(["umount", "-l", share], check=True)
with Texts(store) as texts:
    if how == "while it is read":
        (share / "点検.txt").write_text("共有フォルダーの点検表", encoding="utf-8")
        pace, rest = Pace(), [away]
        wait = pace.wait
        pace.wait = lambda: (wait(), rest and texts.count(folder) == 1 and rest.pop()())
        try:
            read_folders([folder], texts, pace=pace)
        except FolderUnreachable as error:
            print(error, texts.count(folder))
        sys.exit()
    print(len(read_folders([folder], texts).documents))
    away()
    if how == "under it":
        (share / "未接続.txt").write_text("マウントされていません", encoding="utf-8")
    if how == "gone":
        share.rmdir()
    if how in ("another one", "an empty one"):
        subprocess.run(["mount", "-t", "tmpfs", "none", share], check=True)
    if how == "another one":
        (share / "別.txt").write_text("別の共有フォルダー", encoding="utf-8")
    if how == "copied":
        (share / "手順.txt").write_text("共有フォルダーの手順書", encoding="utf-8")
    try:
        print(len(read_folders([folder], texts).documents))
    except FolderUnreachable as error:
        print(error, texts.count(folder))
    texts.forget(share)
    print(len(read_folders([folder], texts).documents))
"""


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "文書", "自分.txt", "手元の手順書")
    (tmp_path / "文書" / "共有").mkdir()
    return tmp_path / "文書"


def with_a_share(folder: Path, tmp_path: Path, how: str) -> list[str]:
    """What is printed by a process that mounts a file system at 共有 and takes it away."""
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["sh", "-c", 'mount -t tmpfs none "$0"', str(folder / "共有")]
    if shutil.which("unshare") is None or subprocess.run([*alone, *mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system in a namespace")
    program = [sys.executable, "-c", _MOUNTED, str(folder), str(tmp_path / "texts.sqlite"), how]
    run = subprocess.run([*alone, *program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


class TestMounts:
    @pytest.mark.parametrize(
        ("how", "why"),
        [
            *((how, "it was a share or disk of its own, and is not mounted") for how in ("empty", "under it", "gone")),
            *((how, "what is mounted there has none of them") for how in ("an empty one", "another one")),
        ],
    )
    def test_a_share_in_a_data_folder_that_is_away_is_unreachable_until_a_person_says_that_it_is_deleted(
        self, folder: Path, tmp_path: Path, how: str, why: str
    ) -> None:
        before, refused, after = with_a_share(folder, tmp_path, how)
        assert before == "2"
        assert f"{folder}/共有 cannot be reached: {why}. 1 file(s) were read from it" in refused
        assert f"rengo member data forget {folder}/共有" in refused
        assert refused.endswith(" 2")  # nothing is forgotten
        assert after == str(1 + (how in ("under it", "another one")))

    def test_one_whose_files_are_there_all_the_same_is_none(self, folder: Path, tmp_path: Path) -> None:
        assert with_a_share(folder, tmp_path, "copied") == ["2", "2", "2"]

    def test_one_that_is_lost_while_it_is_read_is_no_folder_of_unreadable_files(
        self, folder: Path, tmp_path: Path
    ) -> None:
        (refused,) = with_a_share(folder, tmp_path, "while it is read")
        assert f"{folder}/共有 cannot be reached" in refused
        assert refused.endswith(" 1")


class TestMany:
    @pytest.fixture
    def texts(self) -> Iterator[Texts]:
        with Texts() as texts:
            yield texts

    def test_files_in_a_subfolder_that_is_empty_all_at_once_are_not_deleted(self, folder: Path, texts: Texts) -> None:
        for number in range(MANY):
            put(folder, f"共有/下/{number}.txt", f"手順書 {number}")
        for number in range(2 * MANY):
            put(folder, f"手元/{number}.txt", f"手元の手順書 {number}")
        read_folders([folder], texts)
        shutil.rmtree(folder / "共有" / "下")
        with pytest.raises(FolderUnreachable, match=f"共有 cannot be reached: it is empty. {MANY} file") as caught:
            read_folders([folder], texts)
        assert "削除とはみなさず" in caught.value.text("ja")
        assert texts.count(folder) == 3 * MANY + 1
        (folder / "共有").rmdir()  # who removes the folder, too, means it
        assert len(read_folders([folder], texts).documents) == 2 * MANY + 1

    def test_most_files_of_a_folder_at_once_are_not_deleted(self, folder: Path, texts: Texts) -> None:
        paths = [put(folder, f"{number}.txt", f"手順書 {number}") for number in range(2 * MANY - 2)]
        read_folders([folder], texts)
        for path in paths[:MANY]:
            path.unlink()
        with pytest.raises(FolderUnreachable, match=f"{MANY} of its files are gone"):
            read_folders([folder], texts)
        put(folder, "0.txt", "手順書 0")
        assert len(read_folders([folder], texts).documents) == MANY

    def test_few_files_are(self, folder: Path, texts: Texts) -> None:
        paths = [put(folder, f"共有/{number}.txt", f"手順書 {number}") for number in range(MANY - 1)]
        read_folders([folder], texts)
        for path in paths:
            path.unlink()
        assert [d.name for d in read_folders([folder], texts).documents] == ["自分.txt"]


class TestForget:
    @pytest.fixture
    def site(self, folder: Path, tmp_path: Path) -> Site:
        home = Home(tmp_path / "member")
        home.create(Settings("toyo", "https://127.0.0.1:1", str(folder), "demo"), bytes(32), "PEM")
        with closing(Journal(home.file("journal.sqlite"))):
            return Site(home.path)

    def test_is_how_a_person_says_that_files_were_deleted(self, site: Site, folder: Path) -> None:
        for number in range(MANY):
            put(folder, f"共有/{number}.txt", f"手順書 {number}")
        site.run("data", "sample")
        for path in (folder / "共有").iterdir():
            path.unlink()
        with pytest.raises(FolderUnreachable):
            site.run("data", "sample")
        told = site.run(
            "data", "where", exit_code=FolderUnreachable.exit_code
        )  # what is kept is to be seen all the same
        assert (told["error"], told["files"]) == ("folder-unreachable", [])
        assert "texts.sqlite" in told["kept"]
        assert site.run("data", "forget", folder / "共有") == {"files": MANY}
        assert len(site.run("data", "where")["files"]) == 1

    @pytest.mark.parametrize("places", [(), ("..",), (".", "/")])
    def test_is_for_data_folders_alone(self, site: Site, folder: Path, places: tuple[str, ...]) -> None:
        with pytest.raises(UsageError, match="文書"):
            site.run("data", "forget", *(os.path.normpath(folder / place) for place in places))
