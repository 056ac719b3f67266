"""`rengo member …` as its user types it, against a real registry over TLS on loopback."""

import argparse
import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator import cli as coordinator_cli
from clients.approving import NothingProposed, approve_within_policy
from clients.commands.membership import TokenUnreadable
from clients.commands.site import asked
from clients.home import ApprovedFileChanged, MemberExists, NoMemberHere, NothingApproved
from clients.journal import Departure, Journal
from clients.journal_errors import JournalMissing, NoOpenJob
from clients.policy_file import RefusedByPolicy
from clients.registry_client import FingerprintDiffers, RegistryUnreachable
from clients.registry_refused import RegistryRefused
from clients.state_folder import OpenToOthers
from federation.commands import NotConfirmed
from federation.errors import DataFolderInvalid, ModelFolderInvalid, UsageError
from federation.output import OutputNotWritable
from federation.plan import Plan
from federation.secagg.history import History
from federation.token import TokenInvalid
from tests.unit.site import MEMBERS, Consortium, Site, call, consortium, journal_of, three_sites

ID = "akatombo-seiki"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Consortium, list[Site]]]:
    with three_sites(tmp_path_factory.mktemp("三社")) as made:
        yield made


@pytest.fixture
def inviting(tmp_path: Path) -> Iterator[Consortium]:
    """A registry that listens, and nobody in it."""
    made = consortium(tmp_path)
    with made.listening():
        yield made


class TestJoining:
    def test_makes_keys_here_and_records_each_call_before_and_after(self, inviting: Consortium) -> None:
        site = inviting.join(ID)
        assert {f.name for f in (site.path / "keys").iterdir()} == {"member.key", "node.key"}
        assert {f.stat().st_mode & 0o077 for f in site.path.rglob("*")} == {0}
        assert journal_of(site) == ["get_introduction", "answer_to_get_introduction", "join", "answer_to_join"]

    @pytest.mark.parametrize("spoil", ["used", "unknown"])
    def test_with_a_token_that_is_not_accepted_leaves_no_file_behind(self, inviting: Consortium, spoil: str) -> None:
        token = inviting.invite(ID)
        if spoil == "used":
            Site(inviting.folder / "first").run("join", "--token-file", token, "--data", MEMBERS / ID)
        else:
            token.write_text(token.read_text()[:-6] + "AAAAA\n")
        before = {path.name for path in inviting.folder.iterdir()}
        with pytest.raises(RegistryRefused) as caught:
            Site(inviting.folder / "again").run("join", "--token-file", token, "--data", MEMBERS / ID)
        assert (caught.value.exit_code, caught.value.code) == (4, "token-refused")
        why = {"used": "it was used already", "unknown": "it is not known here"}[spoil]
        words = f"This join token is not accepted: {why}. Ask the coordinator for a new one."
        assert str(caught.value) == f"The coordinator answers: {words}"
        assert "新しいものを依頼してください" in caught.value.text("ja")
        assert {path.name for path in inviting.folder.iterdir()} == before
        assert inviting.log()[-1] == "refused join of joining: token-refused"

    def test_without_the_base_model_spends_no_token(self, inviting: Consortium) -> None:
        token, site = inviting.invite(ID), Site(inviting.folder / "site")
        joining = ("join", "--token-file", token, "--data", MEMBERS / ID)
        with pytest.raises(ModelFolderInvalid) as caught:
            site.run(*joining, "--model", inviting.folder / "nowhere")
        assert caught.value.exit_code == 3
        assert not site.path.exists()
        site.run(*joining)

    def test_sends_no_secret_where_the_fingerprint_differs(self, inviting: Consortium) -> None:
        token = inviting.invite(ID)
        head, root, secret = token.read_text().rsplit(".", 2)
        token.write_text(f"{head}.{'0' * len(root)}.{secret}")
        before = inviting.log()
        with pytest.raises(FingerprintDiffers) as caught:
            Site(inviting.folder / "site").run("join", "--token-file", token, "--data", MEMBERS / ID)
        assert caught.value.exit_code == 4
        assert inviting.log() == before
        assert not (inviting.folder / "site").exists()

    def test_into_a_site_that_left_goes_on_with_its_journal(self, inviting: Consortium) -> None:
        site = inviting.join(ID)
        site.run("leave", "--name", ID)
        kept = journal_of(site)
        site.run("join", "--token-file", inviting.invite(ID), "--data", MEMBERS / ID)
        assert journal_of(site)[: len(kept)] == kept

    def test_that_fails_at_a_site_that_left_keeps_its_journal(self, inviting: Consortium) -> None:
        site = inviting.join(ID)
        site.run("leave", "--name", ID)
        token = inviting.invite(ID)
        token.write_text(token.read_text()[:-6] + "AAAAA\n")
        with pytest.raises(RegistryRefused):
            site.run("join", "--token-file", token, "--data", MEMBERS / ID)
        assert {path.name for path in site.path.iterdir()} == {"journal.sqlite"}
        assert journal_of(site)[-2:] == ["join", "answer_to_join"]

    def test_twice_changes_nothing(self, inviting: Consortium) -> None:
        site = inviting.join(ID)
        key = (site.path / "keys" / "member.key").read_bytes()
        with pytest.raises(MemberExists):
            site.run("join", "--token-file", inviting.invite("asanagi-seiki"), "--data", MEMBERS / ID)
        assert (site.path / "keys" / "member.key").read_bytes() == key

    @pytest.mark.parametrize(
        ("token", "data", "error", "exit_code"),
        [
            ("missing", ".", TokenUnreadable, 4),
            (".", ".", TokenUnreadable, 4),
            ("binary", ".", TokenUnreadable, 4),
            ("empty", ".", TokenInvalid, 4),
            ("missing", "nowhere", DataFolderInvalid, 8),
        ],
    )
    def test_says_what_cannot_be_read(
        self, tmp_path: Path, token: str, data: str, error: type[Exception], exit_code: int
    ) -> None:
        (tmp_path / "empty").write_text("")
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
        site = Site(tmp_path / "site")
        with pytest.raises(error) as caught:
            site.run("join", "--token-file", tmp_path / token, "--data", tmp_path / data)
        assert caught.value.exit_code == exit_code  # type: ignore[attr-defined]
        assert not site.path.exists()

    def test_reports_a_registry_that_does_not_answer(self, tmp_path: Path) -> None:
        made = consortium(tmp_path)
        with pytest.raises(RegistryUnreachable) as caught:
            made.join(ID)
        assert caught.value.exit_code == 5
        assert not (tmp_path / ID).exists()


class TestDeciding:
    def test_without_a_plan_there_is_nothing_to_decide(self, inviting: Consortium) -> None:
        site = inviting.join(ID)
        for verb, *more in (["review"], ["approve", "--yes"], ["refuse", "--reason", "x"], ["preview", "--out", "p"]):
            with pytest.raises(NothingProposed) as caught:
                site.run(verb, *more)
            assert caught.value.exit_code == 9

    def test_an_approval_is_recorded_here_before_the_coordinator_hears_of_it(
        self, federation: tuple[Consortium, list[Site]]
    ) -> None:
        made, (site, *_) = federation
        plan = made.propose("job=承認")
        site.run("approve", "--yes", "--applicant", "佐藤", "--approver", "鈴木")
        with made.registry() as registry:
            consents = registry.consents(plan.digest(), registry.roster().roster.digest())
        assert consents == {ID: ("approved", "")}
        assert site.home.approvals()[-1].approver == "鈴木"
        assert site.home.approved(plan)
        assert site.home.plan() == plan
        assert journal_of(site)[-3:] == ["decision", "consent", "answer_to_consent"]
        journal = Journal(site.home.file("journal.sqlite"))
        decision = journal.sent()[-3]
        journal.close()
        assert "applicant 佐藤, approver 鈴木" in decision.note
        assert plan.digest().hex()[:16] in decision.note

    def test_a_refusal_takes_an_approval_back(self, federation: tuple[Consortium, list[Site]]) -> None:
        made, (_, site, _) = federation
        plan = made.propose("job=拒否")
        site.run("approve", "--yes")
        site.run("refuse", "--reason", "契約審査中")
        assert not site.home.approved(plan)
        with made.registry() as registry:
            consents = registry.consents(plan.digest(), registry.roster().roster.digest())
        assert consents["akikaze-kogaku"] == ("refused", "契約審査中")
        shown = call(coordinator_cli.main, "members", "--home", made.home.path)["members"]
        assert [(m["plan"], m["reason"]) for m in shown] == [(None, ""), ("refused", "契約審査中"), (None, "")]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            coordinator_cli.main(["members", "--home", str(made.home.path)], "ja")
        assert out.getvalue().count("計画を拒否: 契約審査中") == 1

    def test_a_refusal_without_a_reason_is_not_sent(self, federation: tuple[Consortium, list[Site]]) -> None:
        made, (_, site, _) = federation
        plan = made.propose("job=理由なし")
        with pytest.raises(UsageError, match="--reason is empty"):
            site.run("refuse", "--reason", " 　")
        with made.registry() as registry:
            assert registry.consents(plan.digest(), registry.roster().roster.digest()) == {}
        assert plan.digest().hex() not in [decision.plan for decision in site.home.approvals()]

    def test_nothing_is_approved_without_a_yes(self, federation: tuple[Consortium, list[Site]]) -> None:
        made, (site, *_) = federation
        plan = made.propose("job=無回答")
        with pytest.raises(NotConfirmed):
            site.run("approve")
        assert not site.home.approved(plan)

    def test_one_person_is_not_enough_where_the_policy_wants_two(
        self, federation: tuple[Consortium, list[Site]]
    ) -> None:
        made, (site, *_) = federation
        plan = made.propose("job=二人")
        site.set_policy(two_persons="true")
        with pytest.raises(RefusedByPolicy, match="two persons"):
            site.run("approve", "--yes", "--approver", "鈴木")
        assert not site.home.approved(plan)
        site.run("approve", "--yes", "--approver", "鈴木", "--applicant", "佐藤")
        site.set_policy(two_persons="false")
        assert site.home.approved(plan)

    def test_a_plan_beyond_the_policy_is_not_approved_and_review_names_the_line(
        self, federation: tuple[Consortium, list[Site]]
    ) -> None:
        made, (site, *_) = federation
        made.propose("job=長い", "rounds=30")
        site.set_policy(rounds_per_plan="10")
        assert "policy.toml の範囲外です\n  5 行目 rounds_per_plan: 計画は 30 回です" in site.said("review")
        assert site.run("review")["policy"][0]["line"] == 5
        with pytest.raises(RefusedByPolicy, match=r"policy.toml line 5, rounds_per_plan: the plan has 30 rounds"):
            site.run("approve", "--yes")
        site.set_policy(rounds_per_plan="200")
        assert "範囲内です" in site.said("review")


class TestAutomaticApproval:
    """`rengo member start`, where policy.toml says that no person is needed."""

    def approve(self, site: Site) -> Plan | None:
        with asked(argparse.Namespace(home=site.path)) as at:
            return approve_within_policy(at.home, at.standing, at.registry, at.journal)

    @pytest.fixture(scope="class")
    def site(self, federation: tuple[Consortium, list[Site]]) -> Iterator[Site]:
        _, (_, _, site) = federation
        site.set_policy(automatic_approval="true")
        yield site
        site.set_policy(automatic_approval="false")

    def test_is_off_by_default(self, federation: tuple[Consortium, list[Site]]) -> None:
        made, (site, *_) = federation
        plan = made.propose("job=自動なし")
        assert self.approve(site) is None
        assert not site.home.approved(plan)

    def test_approves_no_roster(self, federation: tuple[Consortium, list[Site]], site: Site) -> None:
        made, _ = federation
        plan = made.propose("job=自動")
        with pytest.raises(NothingApproved, match="roster 2") as caught:
            self.approve(site)
        assert "まだ参加者名簿 版 2 を承認していません" in caught.value.text("ja")
        assert not site.home.approved(plan)
        site.run("roster", "approve", "--yes")
        assert self.approve(site) == plan
        assert site.home.approvals()[-1].approver == "policy.toml"
        assert self.approve(site) is None  # decided already

    def test_does_not_overrule_a_person(self, federation: tuple[Consortium, list[Site]], site: Site) -> None:
        made, _ = federation
        plan = made.propose("job=人が拒否")
        site.run("refuse", "--reason", "契約審査中")
        assert self.approve(site) is None
        assert not site.home.approved(plan)

    def test_ends_where_the_limits_end(self, federation: tuple[Consortium, list[Site]], site: Site) -> None:
        made, _ = federation
        plan = made.propose("job=上限超過", "rounds=300")
        with pytest.raises(RefusedByPolicy, match="rounds_per_plan"):
            self.approve(site)
        assert not site.home.approved(plan)


def test_closing_a_job_frees_the_data_and_is_in_the_journal(federation: tuple[Consortium, list[Site]]) -> None:
    _, (_, site, _) = federation
    journal = Journal(site.home.file("journal.sqlite"))
    journal.commit(History((1, 1)), Departure("止まった", ("keys",), "host:1", 1, bytes(32)))
    journal.close()
    with pytest.raises(NotConfirmed):
        site.run("close", "止まった")
    with pytest.raises(NoOpenJob):
        site.run("close", "別のジョブ", "--yes")
    site.run("close", "止まった", "--yes")
    journal = Journal(site.home.file("journal.sqlite"))
    journal.require_free("次")
    journal.close()
    assert journal_of(site)[-1] == "close"


@pytest.mark.parametrize("verb", ["review", "approve --yes", "preview --approved --out p", "close 止まった"])
def test_without_the_journal_that_joining_began_nothing_goes_on(inviting: Consortium, verb: str) -> None:
    site = inviting.join(ID)
    site.home.file("journal.sqlite").unlink()
    for _ in range(2):  # and nobody has made an empty one meanwhile
        with pytest.raises(JournalMissing) as caught:
            site.run(*verb.split())
        assert caught.value.exit_code == 10
    assert not site.home.file("journal.sqlite").exists()


def test_a_missing_journal_is_no_missing_member(inviting: Consortium) -> None:
    site = inviting.join(ID)
    site.home.file("journal.sqlite").unlink()
    for what in ("verify", "export"):
        with pytest.raises(JournalMissing):
            site.run("journal", what)


def test_a_preview_of_the_approved_plan_is_of_what_was_approved(federation: tuple[Consortium, list[Site]]) -> None:
    made, (_, _, site) = federation
    made.propose("job=後で変更")
    site.run("approve", "--yes")
    plan = site.home.file("plan.yaml")
    approved = plan.read_text(encoding="utf-8")
    plan.write_text(approved.replace("rounds: 2", "rounds: 5"), encoding="utf-8")
    with pytest.raises(ApprovedFileChanged):
        site.run("preview", "--approved", "--out", site.path / "preview")
    plan.write_text(approved, encoding="utf-8")


def test_without_a_terminal_a_token_has_to_be_in_a_file(inviting: Consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UsageError, match="--token-file"):
        Site(inviting.folder / "site").run("join", "--data", MEMBERS / ID)


class TestFolders:
    @pytest.mark.parametrize("verb", ["review", "start", "doctor", "data report", "journal verify", "leave", "status"])
    def test_without_a_member_in_them_say_so(self, tmp_path: Path, verb: str) -> None:
        site = Site(tmp_path / "nothing")
        if verb == "doctor":
            checks = site.run(verb, exit_code=9)["checks"]
            assert (checks[0]["check"], checks[0]["result"]) == ("state folder", "warning")
            assert checks[-1]["exit_code"] == 9
            assert not site.path.exists()
            return
        with pytest.raises(NoMemberHere) as caught:
            site.run(*verb.split())
        assert caught.value.exit_code == 9
        assert not site.path.exists()

    def test_of_a_member_are_reported_in_tokens_of_its_model(self, federation: tuple[Consortium, list[Site]]) -> None:
        _, (site, *_) = federation
        totals = site.run("data", "report")["totals"]
        assert totals["tokens_a_char"] == pytest.approx(totals["tokens"] / totals["chars"])
        assert 0.3 < totals["tokens_a_char"] < 1

    def test_whose_keys_others_can_read_do_not_start(self, federation: tuple[Consortium, list[Site]]) -> None:
        _, (_, _, site) = federation
        key = site.path / "keys" / "member.key"
        key.chmod(0o640)
        try:
            with pytest.raises(OpenToOthers, match="0640") as caught:
                site.run("start")
            assert caught.value.exit_code == 4
            assert site.run("doctor", "--quick", exit_code=4)["checks"][0]["result"] == "failed"
        finally:
            key.chmod(0o600)

    def test_that_cannot_be_written_to_exit_with_7(
        self, federation: tuple[Consortium, list[Site]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A read-only file system answers EROFS; tests may run as root, whom no mode keeps from writing."""
        _, (_, _, site) = federation

        def refusing(*_: object) -> None:
            raise OSError(30, "Read-only file system", str(site.home.file("approvals.json.part")))

        monkeypatch.setattr("clients.home.os.replace", refusing)
        with pytest.raises(OutputNotWritable) as caught:
            site.run("refuse", "--reason", "x")
        assert caught.value.exit_code == 7


def test_status_of_a_member_that_does_not_run_is_9(federation: tuple[Consortium, list[Site]]) -> None:
    _, (site, *_) = federation
    site.home.file("status.json").write_text(json.dumps({"pid": 1, "phase": "waiting"}))
    assert site.run("status", exit_code=9)["running"] is False
    assert site.run("stop", exit_code=9) == {"stopped": False, "running": False}
