"""What `preview` writes is what a real round sends, in fields and sizes; and nothing leaves or changes."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.carriers.in_process import InProcess
from aggregator.rounds import Job, run
from aggregator.store import Store
from clients import extracted, manifest, preview
from clients.home import NothingApproved
from clients.ingest import read_documents
from clients.journal import Journal
from clients.loading import load
from clients.policy_file import RefusedByPolicy
from clients.service import make_member
from federation.identity import COORDINATOR, Identity
from federation.output import OutputFolderTaken
from federation.wire import Limits, read_frame
from tests.unit.site import DOCUMENTS, MEMBERS, Consortium, Site, three_sites

LIMITS = Limits(1 << 20, 1 << 26)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Consortium, list[Site]]]:
    with three_sites(tmp_path_factory.mktemp("事前確認")) as made:
        yield made


def state(site: Site) -> dict[str, str]:
    """Every file of a site but its journal and the text that it keeps, by digest."""
    kept = extracted.folder(site.home)
    files = [file for file in site.path.rglob("*") if file.is_file() and "journal" not in file.name]
    files = [file for file in files if not file.is_relative_to(kept)]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def recorded(site: Site) -> tuple[list[str], int]:
    """What left by the journal, and how often the data was in a sum."""
    journal = Journal(site.home.file("journal.sqlite"))
    found = [row.kinds for row in journal.sent()], journal.contributions()
    journal.close()
    return found


def test_is_what_a_real_round_sends(federation: tuple[Consortium, list[Site]], tmp_path: Path) -> None:
    made, sites = federation
    plan = made.propose("job=比較", "rounds=1")
    shown = sites[0].run("preview", "--out", tmp_path / "out")
    # The same plan, run for real: every site's own member, and the coordinator's own loop.
    with made.registry() as registry:
        roster = registry.roster().roster
    members, journals = {}, []
    for id, site in zip(DOCUMENTS, sites, strict=True):
        site.run("approve", "--yes")
        journals.append(Journal(site.home.file("journal.sqlite")))
        members[id] = make_member(site.home, site.home.identity(), journals[-1], "host:1", "")[0].handle
    learner, _ = load(sites[0].home, plan)
    store = Store(tmp_path / "store", plan.digest())
    run(Job(plan, roster, made.home.identity(), learner.shapes), InProcess(members), store, lambda _: None)
    sent = [row for row in journals[0].sent() if row.job == plan.job][:5]
    for journal in journals:
        journal.close()
    store.close()
    assert [(" ".join(s["kind"] for s in f["statements"]), f["bytes"]) for f in shown["frames"]] == [
        (row.kinds, row.size) for row in sent
    ]
    # Each row of the round names the manifest that was frozen at the start.
    (frozen,) = (path for path in manifest.kept(sites[0].home) if path.name.startswith(plan.job))
    assert {row.manifest for row in sent} == {hashlib.sha256(frozen.read_bytes()).digest()}
    # And nothing of the documents is stored at any site, but in the folder for it.
    for id, site in zip(DOCUMENTS, sites, strict=True):
        lines = [max(d.text.split("\n"), key=len).encode() for d in read_documents(MEMBERS / id).documents]
        kept = extracted.folder(site.home)
        files = {file: file.read_bytes() for file in site.path.rglob("*") if file.is_file()}
        stored = b"".join(data for file, data in files.items() if not file.is_relative_to(kept))
        assert lines
        assert not [line for line in lines if line in stored]
        assert any(line in files[kept / "texts.sqlite"] for line in lines)


def test_changes_and_sends_nothing_but_the_question_for_the_plan(
    federation: tuple[Consortium, list[Site]], tmp_path: Path
) -> None:
    made, (_, site, _) = federation
    made.propose("job=無送信")
    files, (before, contributions) = state(site), recorded(site)
    facts = site.run("preview", "--out", tmp_path / "out")
    assert state(site) == files
    assert len(before) + 4 == len(recorded(site)[0])
    assert [kinds.removeprefix("answer_to_") for kinds in recorded(site)[0][-4:]] == ["get_introduction"] * 2 + [
        "ask"
    ] * 2
    assert recorded(site)[1] == contributions
    assert facts["sent"] is False
    assert facts["destination"] == f"127.0.0.1:{made.port + 1}"


def test_files_hold_the_exact_messages(federation: tuple[Consortium, list[Site]], tmp_path: Path) -> None:
    made, (site, *_) = federation
    plan = made.propose("job=ファイル")
    facts = site.run("preview", "--out", tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "preview.json").read_text(encoding="utf-8"))
    assert stored == facts
    files = sorted((tmp_path / "out").glob("*.bin"))
    assert [file.name for file in files] == [
        "1-keys.bin",
        "2-shares.bin",
        "3-masked.bin",
        "4-agreed.bin",
        "5-revealed.bin",
    ]
    for file, frame in zip(files, facts["frames"], strict=True):
        data = file.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (frame["bytes"], frame["sha256"])
        headers = [statement.header for statement in read_frame(data, LIMITS)]
        assert [header.kind for header in headers] == [statement["kind"] for statement in frame["statements"]]
        assert {(h.sender, h.recipient) for h in headers} == {(DOCUMENTS[0], COORDINATOR)}
        assert [set(header.body) for header in headers] == [set(s["fields"]) for s in frame["statements"]]
    assert [frame["deadline"] for frame in facts["frames"]] == [300, 300, 3600, 300, 300]
    assert max(facts["frames"], key=lambda frame: frame["seconds"])["step"] == "masked"
    text = (tmp_path / "out" / "preview.txt").read_text(encoding="utf-8")
    assert f"ready after {facts['frames'][2]['seconds']:.1f} s here; the plan gives 3600 s" in text
    assert plan.digest().hex()[:16] in text
    assert "Nothing was sent now" in text
    assert "these values differ" in text


def test_keys_are_made_for_it_and_not_the_sites(federation: tuple[Consortium, list[Site]]) -> None:
    made, (site, *_) = federation
    plan = made.propose("job=使い捨て")
    shown = preview.make(site.home, plan, "host:1")
    identity: Identity = site.home.identity()
    statements = [statement for departing in shown.frames for statement in departing.statements]
    assert all(identity.sign_bytes(s.to_sign()) != s.signature for s in statements)
    again = preview.make(site.home, plan, "host:1")
    assert [len(a.frame) for a in again.frames] == [len(b.frame) for b in shown.frames]
    assert all(a.frame != b.frame for a, b in zip(again.frames, shown.frames, strict=True))
    assert "今回は何も送信していません" in preview.text(shown, "ja")


def test_of_the_approved_plan_asks_nobody(federation: tuple[Consortium, list[Site]], tmp_path: Path) -> None:
    made, (_, _, site) = federation
    with pytest.raises(NothingApproved):
        Site(made.join("hanafubuki-insatsu").path).run("preview", "--approved", "--out", tmp_path / "nothing")
    made.propose("job=承認済み")
    site.run("approve", "--yes")
    rows = site.run("journal", "verify")["rows"]
    assert site.run("preview", "--approved", "--out", tmp_path / "out")["job"] == "承認済み"
    assert site.run("journal", "verify")["rows"] == rows


def test_beyond_the_policy_or_into_a_folder_that_is_in_use_is_refused(
    federation: tuple[Consortium, list[Site]], tmp_path: Path
) -> None:
    made, (site, *_) = federation
    made.propose("job=拒否")
    site.set_policy(rounds_per_plan="1")
    with pytest.raises(RefusedByPolicy):
        site.run("preview", "--out", tmp_path / "out")
    site.set_policy(rounds_per_plan="200")
    (tmp_path / "file").touch()
    with pytest.raises(OutputFolderTaken):
        site.run("preview", "--out", tmp_path)
