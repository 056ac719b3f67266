"""On which data a job trains is frozen when it begins at a site, and can be checked for as long as its journal is."""

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from clients import extracted, manifest
from clients.freezing import frozen
from clients.ingest import read_documents
from clients.ingest.store import TextMissing, Texts
from clients.journal import Departure, Journal
from clients.journal_export import ManifestNotInJournal
from clients.manifest import ManifestChanged, ManifestMissing
from clients.purging import purge
from clients.split_record import SplitRecordUnreadable
from federation.secagg.history import History
from tests.unit.frozen_site import ID, PLAN, data_of, freeze, make_site, texts_of
from tests.unit.site import Site
from tests.unit.test_splits import texts


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


class TestManifest:
    def test_says_of_each_file_what_it_is_and_of_the_job_who_approved_it(self, site: Site) -> None:
        made = freeze(site)
        data = data_of(site)
        assert (made.head.job, made.head.plan, made.head.member) == (PLAN.job, PLAN.digest().hex(), ID)
        assert (made.head.applicant, made.head.approver) == ("sato", "suzuki")
        assert {entry.file for entry in made.entries} == {
            file.relative_to(data).as_posix() for file in data.rglob("*") if file.is_file()
        }
        for entry in made.entries:
            content = (data / entry.file).read_bytes()
            assert (entry.sha256, entry.size) == (hashlib.sha256(content).hexdigest(), len(content))
            assert entry.owner == (data / entry.file).owner()
        (marked,) = (entry for entry in made.entries if entry.marks)
        assert (marked.name, marked.use, marked.marks) == ("社外秘/単価.txt", "", ("社外秘",))
        assert "not permitted" in marked.reason
        assert "許可されていません" in marked.reason_ja

    def test_names_the_text_of_every_document_and_for_what_it_is_used(self, site: Site) -> None:
        made = freeze(site)
        texts = {hashlib.sha256(d.text.encode()).hexdigest() for d in read_documents(data_of(site)).documents}
        assert {entry.text for entry in made.entries if entry.use} == texts
        assert {entry.use for entry in made.entries} == {"train", "validation", "test", ""}
        assert made.head.used == len(texts) == made.head.files - 1

    def test_is_a_file_whose_sha256_the_journals_rows_name(self, site: Site) -> None:
        made = freeze(site, begin=True)
        path = manifest.place(site.home, PLAN.job, made.digest)
        assert hashlib.sha256(path.read_bytes()).digest() == made.digest
        assert path.stat().st_mode & 0o777 == 0o600
        rows = site.run("journal", "export")["rows"]
        assert [(row["content"], row["manifest"]) for row in rows] == [
            ("freeze", made.digest.hex()),
            ("keys", made.digest.hex()),
        ]

    def test_says_of_a_mark_that_it_is_the_folders_default(self, site: Site) -> None:
        site.run("data", "add", data_of(site), "--mark", "部外秘")
        site.set_policy(permitted_marks='["部外秘"]')
        made = freeze(site, begin=True)
        assert made.head.unmarked == (f"{data_of(site)} = 部外秘",)
        (marked,) = (entry for entry in made.entries if not entry.by_default)
        assert marked.marks == ("社外秘",)
        assert {entry.marks for entry in made.entries if entry.by_default} == {("部外秘",)}

    def test_names_what_a_log_was_read_with_and_the_settings_files(self, site: Site) -> None:
        data, rows = data_of(site), "".join(f"2026/11/22 8:{minute:02},{minute}\n" for minute in range(30))
        events = "発生日時,コード,メッセージ\n26/11/22 8:05:30,E1,エアー圧低下\n26/11/22 9:10,E203,炉温上限異常\n"
        (data / "炉.csv").write_text(f"日時,炉温[℃]\n{rows}", encoding="utf-8")
        (data / "警報.csv").write_text(events, encoding="utf-8")
        (data / "logs.toml").write_text('quoted = ["警報.csv"]\n', encoding="utf-8")
        made = freeze(site, begin=True)
        beside = {entry.file: entry.read_with for entry in made.entries}
        assert beside["炉.csv"] == ("logs.toml", "警報.csv")
        assert beside["警報.csv"] == ("logs.toml",)
        assert beside["社外秘/単価.txt"] == ()
        files = data / "logs.toml", site.home.file("personal.toml")
        assert made.head.settings == {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        (data / "logs.toml").write_text('quoted = ["警報.csv"] # \n', encoding="utf-8")
        assert freeze(site).digest == made.digest  # it has begun

    def test_of_another_version_does_not_keep_a_job_from_beginning(self, site: Site) -> None:
        made = freeze(site)
        path = manifest.place(site.home, PLAN.job, made.digest)
        path.write_bytes(path.read_bytes().replace(b'"by_default":false,', b""))
        assert freeze(site).entries == made.entries

    def test_is_not_made_anew_when_nothing_changed(self, site: Site) -> None:
        assert freeze(site).digest == freeze(site).digest
        assert len(manifest.kept(site.home)) == 1

    def test_that_somebody_changed_is_told_with_both_digests(self, site: Site) -> None:
        made = freeze(site, begin=True)
        path = manifest.place(site.home, PLAN.job, made.digest)
        path.write_text(path.read_text(encoding="utf-8").replace("社外秘", "公開"), encoding="utf-8")
        with pytest.raises(ManifestChanged, match=made.digest.hex()[:16]) as caught:
            freeze(site)
        assert caught.value.exit_code == 10
        path.unlink()
        with pytest.raises(ManifestMissing):
            freeze(site)


class TestVerifying:
    def test_finds_the_rows_that_name_a_manifest(self, site: Site) -> None:
        made = freeze(site, begin=True)
        path = manifest.place(site.home, PLAN.job, made.digest)
        facts = site.run("journal", "verify", "--manifest", path)
        assert (facts["manifest"], facts["job"], facts["naming"]) == (made.digest.hex(), PLAN.job, 2)
        assert "改変なし" in site.said("journal", "verify", "--manifest", path)

    @pytest.mark.parametrize(("old", "new"), [('"approver":"suzuki"', '"approver":"tanaka"'), ("単価", "日報")])
    def test_refuses_one_that_was_changed(self, site: Site, tmp_path: Path, old: str, new: str) -> None:
        made = freeze(site, begin=True)
        other = tmp_path / "other.jsonl"
        text = manifest.place(site.home, PLAN.job, made.digest).read_text(encoding="utf-8")
        assert old in text
        other.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises((ManifestNotInJournal, manifest.NoManifest)) as caught:
            site.run("journal", "verify", "--manifest", other)
        assert caught.value.exit_code == 10

    def test_refuses_one_that_nests_without_end(self, site: Site, tmp_path: Path) -> None:
        (tmp_path / "deep.jsonl").write_text('{"form":' + "[" * 100_000 + "\n", encoding="utf-8")
        with pytest.raises(manifest.NoManifest):
            site.run("journal", "verify", "--manifest", tmp_path / "deep.jsonl")

    def test_refuses_a_consistent_forgery(self, site: Site, tmp_path: Path) -> None:
        """One that somebody wrote with this program's own code."""
        made = freeze(site, begin=True)
        forged = manifest.Manifest(made.head, made.entries[1:])
        lines = hashlib.sha256(manifest._lines(forged.entries)).hexdigest()
        head = json.loads(forged.to_bytes().splitlines()[0]) | {"entries": lines}
        (tmp_path / "forged.jsonl").write_bytes(manifest._line(head) + manifest._lines(forged.entries))
        with pytest.raises(ManifestNotInJournal):
            site.run("journal", "verify", "--manifest", tmp_path / "forged.jsonl")


class TestFrozen:
    def test_a_job_that_has_not_begun_takes_the_folder_as_it_is_at_each_start(self, site: Site) -> None:
        before = freeze(site)
        (data_of(site) / "追加.txt").write_text("後から加えた手順書。" * 9, encoding="utf-8")
        after = freeze(site)
        assert after.head.used == before.head.used + 1
        assert after.digest != before.digest

    def test_a_job_that_has_begun_keeps_its_texts_whatever_happens_to_the_folder(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        freeze(site, begin=True)
        texts, data = texts_of(site), data_of(site)
        assert not [record for record in caplog.records if record.levelname == "WARNING"]
        changed, gone = sorted(data.rglob("*.txt"))[:2]
        changed.write_text("書き換えた", encoding="utf-8")
        gone.unlink()
        (data / "追加.txt").write_text("後から加えた手順書。", encoding="utf-8")
        site.run("data", "sample")  # reads the folder as it is now
        assert texts_of(site) == texts
        (told,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
        assert "1 file(s) changed, 1 came and 1 went" in told

    def test_a_job_goes_on_when_the_share_is_away(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        freeze(site, begin=True)
        texts, data = texts_of(site), data_of(site)
        data.rename(data.with_name("切断"))
        assert texts_of(site) == texts
        data.mkdir()  # an empty mount point
        assert texts_of(site) == texts
        told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(told) == 2
        assert "there is no such folder" in told[0]
        assert "it is empty" in told[1]

    def test_a_job_of_the_same_name_under_another_plan_is_frozen_anew(self, site: Site) -> None:
        before = freeze(site, begin=True)
        other = replace(PLAN, evaluation=replace(PLAN.evaluation, test_share=0.3))
        after = freeze(site, plan=other)
        assert after.head.plan == other.digest().hex() != before.head.plan
        assert {entry.text for entry in after.entries} == {entry.text for entry in before.entries}

    def test_what_is_frozen_is_what_is_masked(self, site: Site) -> None:
        (data_of(site) / "連絡先.txt").write_text("保全課の電話は 052-123-4567 です。" * 3, encoding="utf-8")
        freeze(site, begin=True)
        for _ in range(2):
            texts = texts_of(site)
            assert any("保全課の電話は" in text for text in texts)
            assert not any("052-123-4567" in text for text in texts)
            site.run("data", "purge", "--yes", "--although-open")

    def test_documents_are_in_the_order_that_they_were_split_in(self, site: Site) -> None:
        made = freeze(site)
        with closing(Journal(site.home.file("journal.sqlite"))) as journal, extracted.opened(site.home) as texts:
            split = frozen(site.home, PLAN, journal, texts).parts
            row = Departure(PLAN.job, ("keys",), "host:1", 1, bytes(32), manifest=made.digest)
            journal.commit(History(keyed=(1, 1)), row)
            again = frozen(site.home, PLAN, journal, texts).parts
            for one, other in zip(
                (split.train, split.validation, split.test), (again.train, again.validation, again.test), strict=True
            ):
                assert [d.text for d in one] == [d.text for d in other]
            assert [a.name for a in split.set_aside] == [a.name for a in again.set_aside]


class TestSplit:
    def test_what_a_job_held_out_is_held_out_in_the_next_whatever_was_added_or_purged(self, site: Site) -> None:
        first = {entry.text: entry.use for entry in freeze(site).entries if entry.use}
        for number in range(30):
            (data_of(site) / f"新{number}.txt").write_text(texts(30, 9)[number].text, encoding="utf-8")
        with closing(Journal(site.home.file("journal.sqlite"))) as journal:
            purge(site.home, journal, although_open=False)
        second = {entry.text: entry.use for entry in freeze(site, plan=replace(PLAN, job="job-2")).entries if entry.use}
        assert {text: second[text] for text in first} == first
        assert {"train", "validation", "test"} == {second[text] for text in second.keys() - first.keys()}
        assert site.home.file("split.sqlite").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("made", [b"no database" * 100, b"", "CREATE TABLE other (x)", "", "DELETE FROM texts"])
    def test_no_job_begins_without_a_record_that_is_there_and_cannot_be_read(
        self, site: Site, made: bytes | str
    ) -> None:
        """Not one that was truncated, nor another or an empty database in its place: no fresh start."""
        freeze(site)
        path = site.home.file("split.sqlite")
        if isinstance(made, bytes) or not made.startswith("DELETE"):
            path.write_bytes(made if isinstance(made, bytes) else b"")
        if isinstance(made, str):
            with closing(sqlite3.connect(path)) as record:
                record.executescript(made or "PRAGMA user_version = 100")
        before = path.read_bytes()
        with pytest.raises(SplitRecordUnreadable):
            freeze(site)
        assert path.read_bytes() == before

    def test_a_record_on_a_disk_that_is_away_is_no_fresh_start(self, site: Site, tmp_path: Path) -> None:
        freeze(site)
        site.home.file("split.sqlite").unlink()
        site.home.file("split.sqlite").symlink_to(tmp_path / "away" / "split.sqlite")
        with pytest.raises(SplitRecordUnreadable):
            freeze(site)

    def test_a_record_of_which_the_making_was_killed_is_made_again(self, site: Site) -> None:
        site.home.file("split.sqlite.part").write_bytes(b"half")
        freeze(site)
        assert site.home.file("split.sqlite").exists()
        assert not site.home.file("split.sqlite.part").exists()


def test_a_text_that_was_changed_in_the_store_is_not_trained_on(site: Site) -> None:
    freeze(site, begin=True)
    with sqlite3.connect(extracted.folder(site.home) / "texts.sqlite") as database:
        database.execute("UPDATE texts SET text = '毒' || text")
    with pytest.raises(TextMissing) as caught:
        texts_of(site)
    assert caught.value.exit_code == 10


def test_nothing_that_is_stored_is_open_to_others(site: Site) -> None:
    os.umask(0o022)
    freeze(site)
    with Texts(extracted.folder(site.home) / "texts.sqlite"):
        modes = {file.stat().st_mode & 0o077 for file in site.path.rglob("*")}
    assert modes == {0}
