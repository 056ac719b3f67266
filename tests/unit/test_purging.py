"""A purge removes what is kept of the documents, whole and with a receipt, also when it is killed."""

import hashlib
import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clients import extracted, manifest
from clients.freezing import FrozenTextMissing
from clients.ingest import read_documents
from clients.ingest.store import TextsUnreadable
from clients.journal import Journal
from clients.purging import JobOpen, purge
from tests.unit.frozen_site import PLAN, data_of, freeze, make_site, texts_of
from tests.unit.site import Site

_KILLED = """
import os, signal, sys
from contextlib import closing
from pathlib import Path
from clients import extracted, purging
from clients.home import Home
from clients.journal import Journal

home, where = Home(Path(sys.argv[1])), sys.argv[2]
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
write, written = purging.write, []
if where == "before anything":
    extracted.remove = die
if where == "in the middle":
    extracted.remove_if_empty = die
if where == "before the receipt":
    purging.write = lambda *each: die() if written else written.append(write(*each))
with closing(Journal(home.file("journal.sqlite"))) as journal:
    if where == "before the journal":
        journal.record = die
    purging.purge(home, journal, although_open=False)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


class TestPurge:
    def test_removes_the_text_and_leaves_a_receipt_that_the_journal_names(self, site: Site) -> None:
        made = freeze(site)
        folder = extracted.folder(site.home)
        line = max(read_documents(data_of(site)).documents[0].text.split("\n"), key=len).encode()
        assert line in (folder / "texts.sqlite").read_bytes()
        facts = site.run("data", "purge", "--yes")
        assert not folder.exists()
        assert facts["bytes"] > 0
        assert facts["removed"]["texts.sqlite"][1] > 0
        assert facts["manifests"] == {manifest.place(site.home, PLAN.job, made.digest).name: made.digest.hex()}
        receipt = Path(facts["receipt"]).read_bytes()
        row = site.run("journal", "export")["rows"][-1]
        assert (row["content"], row["sha256"]) == ("purge", hashlib.sha256(receipt).hexdigest())
        stored = b"".join(file.read_bytes() for file in site.path.rglob("*") if file.is_file())
        assert line not in stored
        assert data_of(site).exists()

    def test_is_refused_while_a_job_is_open_unless_told(self, site: Site) -> None:
        freeze(site, begin=True)
        with pytest.raises(JobOpen) as caught:
            site.run("data", "purge", "--yes")
        assert caught.value.exit_code == 9
        assert extracted.folder(site.home).exists()
        assert site.run("data", "purge", "--yes", "--although-open")["open_jobs"] == [PLAN.job]

    def test_an_open_job_goes_on_after_it_while_the_files_are_the_same_and_not_otherwise(self, site: Site) -> None:
        freeze(site, begin=True)
        texts = texts_of(site)
        site.run("data", "purge", "--yes", "--although-open")
        assert texts_of(site) == texts
        site.run("data", "purge", "--yes", "--although-open")
        changed = sorted(data_of(site).rglob("*.txt"))[0]
        changed.write_text("書き換えた", encoding="utf-8")
        with pytest.raises(FrozenTextMissing, match=changed.name) as caught:
            texts_of(site)
        assert caught.value.exit_code == 8

    def test_where_shows_the_files_after_it_and_stores_nothing(self, site: Site) -> None:
        freeze(site)
        kept = site.run("data", "where")
        assert kept["kept"]["texts.sqlite"]["bytes"] > 0
        site.run("data", "purge", "--yes")
        facts = site.run("data", "where")
        assert facts["kept"] == {}
        assert len(facts["files"]) == len(kept["files"]) + 1  # the marked one is not read, and is there
        assert not extracted.folder(site.home).exists()

    def test_mends_a_store_that_cannot_be_read(self, site: Site) -> None:
        made = freeze(site)
        (extracted.folder(site.home) / "texts.sqlite").write_bytes(b"damaged" * 1000)
        with pytest.raises(TextsUnreadable):
            freeze(site)
        site.run("data", "purge", "--yes")
        assert freeze(site).entries == made.entries

    @pytest.mark.parametrize("where", ["before anything", "in the middle", "before the receipt", "before the journal"])
    @pytest.mark.parametrize("finish", ["purge", "where"])
    def test_that_is_killed_is_finished_by_the_next_one_and_leaves_one_receipt(
        self, site: Site, where: str, finish: str
    ) -> None:
        freeze(site)
        size = (extracted.folder(site.home) / "texts.sqlite").stat().st_size
        killed = subprocess.run([sys.executable, "-c", _KILLED, site.path, where], capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        with pytest.raises(extracted.PurgeUnfinished, match="rengo member data purge"):
            site.run("data", "sample")
        site.run("data", finish, *(["--yes"] if finish == "purge" else []))
        assert not extracted.folder(site.home).exists()
        (path,) = site.home.file("receipts").iterdir()
        receipt = json.loads(path.read_bytes())
        assert receipt["removed"]["texts.sqlite"] == [1, size]
        assert receipt["finished"] >= receipt["utc"]
        rows = [row for row in site.run("journal", "export")["rows"] if row["content"] == "purge"]
        assert [row["sha256"] for row in rows] == [hashlib.sha256(path.read_bytes()).hexdigest()]
        assert site.run("data", "sample")["samples"]

    def test_is_refused_while_a_report_is_made_and_the_other_way_round(self, site: Site) -> None:
        freeze(site)
        with extracted.opened(site.home), pytest.raises(extracted.ExtractedInUse, match="Nothing was changed"):
            site.run("data", "purge", "--yes")
        assert extracted.folder(site.home).exists()
        with extracted.unused(site.home), pytest.raises(extracted.ExtractedInUse) as caught:
            site.run("data", "report")
        assert caught.value.exit_code == 9
        with extracted.opened(site.home), extracted.opened(site.home):
            pass

    @pytest.mark.parametrize("command", [("data", "purge", "--yes"), ("data", "sample"), ("data", "report")])
    def test_follows_no_link_in_place_of_its_folder_and_neither_does_reading(
        self, site: Site, tmp_path: Path, command: tuple[str, ...]
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "keep.txt").touch()
        extracted.folder(site.home).symlink_to(elsewhere)
        with pytest.raises(extracted.ExtractedIsLink):
            site.run(*command)
        assert [path.name for path in elsewhere.iterdir()] == ["keep.txt"]

    @pytest.mark.parametrize("name", ["texts.sqlite", "tokens"])
    def test_keeps_and_purges_no_text_at_the_end_of_a_link(self, site: Site, tmp_path: Path, name: str) -> None:
        extracted.folder(site.home).mkdir()
        (extracted.folder(site.home) / name).symlink_to(tmp_path / "elsewhere")
        for command in (["data", "report"], ["data", "purge", "--yes"]):
            with pytest.raises(extracted.ExtractedIsLink):
                site.run(*command)
        assert not (tmp_path / "elsewhere").exists()

    def test_removes_no_file_that_a_link_leads_to(self, site: Site, tmp_path: Path) -> None:
        freeze(site)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "keep.txt").touch()
        (elsewhere / "keep.txt").write_bytes(b"not the member's")
        (within := extracted.folder(site.home) / "within").mkdir()
        for link in (extracted.folder(site.home) / "link", within / "link"):
            link.symlink_to(elsewhere)
        (within / "file").symlink_to(elsewhere / "keep.txt")
        sizes = [len(str(each)) for each in (elsewhere, elsewhere / "keep.txt")]
        with closing(Journal(site.home.file("journal.sqlite"))) as journal:
            receipt, _ = purge(site.home, journal, although_open=False)
        assert (elsewhere / "keep.txt").exists()
        assert [*receipt.removed["link"]] == [1, sizes[0]]  # the links themselves
        assert [*receipt.removed["within"]] == [2, sum(sizes)]


def test_leaving_removes_the_text_and_keeps_the_manifests(site: Site) -> None:
    freeze(site)
    site.home.leave()
    assert not extracted.folder(site.home).exists()
    assert len(manifest.kept(site.home)) == 1
