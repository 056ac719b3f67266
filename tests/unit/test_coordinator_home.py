"""The coordinator's folder, the rosters that travel as files, plans from overrides, and the status file."""

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator import roster_files, status_text
from aggregator.carriers import Exchange
from aggregator.exchange import Answered, Asked, Declined, Rejected
from aggregator.home import (
    CoordinatorExists,
    Home,
    KeyMissing,
    NoCoordinatorHere,
    Settings,
    read_identity,
    write_private,
)
from aggregator.planning import NoSuchLayer, TooFewForAPlan, layers, make_plan, shapes_from_json
from aggregator.root_cli import NotTheRoot
from aggregator.root_cli import main as root_main
from aggregator.roster_files import RosterFile, RosterFileInvalid, RosterUnsigned
from aggregator.rounds import AttemptFailed
from aggregator.status import Watch
from federation import step, tensors
from federation.commands import Printer
from federation.errors import ConfigInvalid, Language, RengoError, SettingsFileInvalid
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster
from federation.load_plan import from_yaml, to_yaml
from federation.output import OutputNotWritable
from federation.plan import Plan
from federation.registry import APPROVED, REFUSED
from federation.secagg.refusals import PlanNotApproved
from federation.token import fingerprint, spoken

CHOSEN = Settings('名古屋 "製造業" \\ 研究会', "https://rengo.example.jp", "rengo.example.jp:8444", "0.0.0.0", 5)  # noqa: S104


def roster(count: int = 3, version: int = 2) -> Roster:
    entries = tuple(RosterEntry(f"m{i}", f"{i} 工業", Identity.create("x").public_key) for i in range(count))
    return Roster("研究会", version, Identity.create(COORDINATOR).public_key, entries)


class TestHome:
    def test_settings_come_back_as_they_were_chosen(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "c")
        home.create(CHOSEN)
        assert home.settings() == CHOSEN
        assert (home.settings().registry_port, home.settings().carrier_port) == (443, 8444)

    def test_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        home = Home(tmp_path / "c")
        home.create(CHOSEN)
        assert stat.S_IMODE((home.path / "coordinator.toml").stat().st_mode) == 0o600
        assert stat.S_IMODE((home.path / "keys").stat().st_mode) == 0o700

    def test_is_never_made_over_another(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        home.create(CHOSEN)
        with pytest.raises(CoordinatorExists):
            home.create(replace(CHOSEN, consortium="other"))
        assert home.settings() == CHOSEN

    def test_that_is_missing_or_damaged_is_told(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        with pytest.raises(NoCoordinatorHere) as missing:
            home.settings()
        assert missing.value.exit_code == 9
        (tmp_path / "coordinator.toml").write_text("consortium = ")
        with pytest.raises(SettingsFileInvalid) as damaged:
            home.settings()
        assert damaged.value.exit_code == 2
        assert str(tmp_path / "coordinator.toml") in str(damaged.value)

    def test_every_fault_of_its_settings_is_told_at_once(self, tmp_path: Path) -> None:
        Home(tmp_path).create(CHOSEN)
        path = tmp_path / "coordinator.toml"
        path.write_text(path.read_text().replace('listen     = "0.0.0.0"', "listen = 4").replace("wait ", "wiat "))
        with pytest.raises(ConfigInvalid) as caught:
            Home(tmp_path).settings()
        assert {fault.facts["where"] for fault in caught.value.faults} == {"listen", "wait", "wiat"}

    def test_of_the_version_that_had_the_deadline_says_where_it_has_gone(self, tmp_path: Path) -> None:
        Home(tmp_path).create(CHOSEN)
        path = tmp_path / "coordinator.toml"
        path.write_text(path.read_text() + "deadline   = 1800        # seconds that members have for one exchange\n")
        with pytest.raises(ConfigInvalid) as caught:
            Home(tmp_path).settings()
        (fault,) = caught.value.faults
        assert "delete this line" in fault.text("en")
        assert "deadlines.training" in fault.text("en")
        assert "この行を削除" in fault.text("ja")

    @pytest.mark.parametrize("content", [None, b"", b"short", bytes(33)])
    def test_a_key_that_is_none_is_told(self, content: bytes | None, tmp_path: Path) -> None:
        path = tmp_path / "coordinator.key"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(KeyMissing) as caught:
            read_identity(path, COORDINATOR, "hint", "助言")
        assert caught.value.exit_code == 4

    def test_private_files_are_never_overwritten(self, tmp_path: Path) -> None:
        write_private(tmp_path / "root.key", b"first")
        with pytest.raises(OutputNotWritable, match="in the way"):
            write_private(tmp_path / "root.key", b"second")
        assert (tmp_path / "root.key").read_bytes() == b"first"


class TestRosterFiles:
    def test_come_back_signed_and_unsigned(self, tmp_path: Path) -> None:
        root, made = Identity.create("root"), roster()
        signed = SignedRoster.sign(made, root)
        roster_files.write(tmp_path / "unsigned", RosterFile(made, root.public_key, b""))
        roster_files.write(tmp_path / "signed", RosterFile(made, root.public_key, signed.signature))
        assert roster_files.read(tmp_path / "unsigned") == RosterFile(made, root.public_key, b"")
        assert roster_files.read_signed(tmp_path / "signed", root.public_key) == signed

    def test_unsigned_wait_for_the_root_and_are_no_forgery(self, tmp_path: Path) -> None:
        root = Identity.create("root").public_key
        roster_files.write(tmp_path / "unsigned", RosterFile(roster(), root, b""))
        with pytest.raises(RosterUnsigned, match="rengo root sign") as caught:
            roster_files.read_signed(tmp_path / "unsigned", root)
        assert caught.value.exit_code == 9

    def test_of_another_consortium_are_refused(self, tmp_path: Path) -> None:
        here, there = Identity.create("root"), Identity.create("root")
        made = roster()
        signature = SignedRoster.sign(made, there).signature
        roster_files.write(tmp_path / "theirs", RosterFile(made, there.public_key, signature))
        with pytest.raises(RosterFileInvalid, match="another root key"):
            roster_files.read_signed(tmp_path / "theirs", here.public_key)

    @pytest.mark.parametrize("language", ["en", "ja"])
    def test_are_signed_by_no_key_but_the_root(self, language: Language, tmp_path: Path) -> None:
        root, member = Identity.create("root"), Identity.create("m0")
        for name, key in (("root", root), ("member", member)):
            write_private(tmp_path / f"{name}.key", key.private_bytes())
        roster_files.write(tmp_path / "roster", RosterFile(roster(), root.public_key, b""))
        signed = [*map(str, (tmp_path / "roster", "--out", tmp_path / "signed", "--yes"))]
        with pytest.raises(NotTheRoot) as caught:
            root_main(["sign", *signed, "--key", str(tmp_path / "member.key")], language)
        assert caught.value.exit_code == 4
        for key in (root, member):
            assert spoken(fingerprint(key.public_key)) in caught.value.text(language)
        assert not (tmp_path / "signed").exists()
        assert root_main(["sign", *signed, "--key", str(tmp_path / "root.key")], language) == 0
        assert roster_files.read_signed(tmp_path / "signed", root.public_key).roster.version == 2

    def test_a_changed_byte_anywhere_is_refused_with_the_files_name(self, tmp_path: Path) -> None:
        root, path = Identity.create("root"), tmp_path / "roster"
        made = roster()
        roster_files.write(path, RosterFile(made, root.public_key, SignedRoster.sign(made, root).signature))
        good = path.read_bytes()
        for position in range(0, len(good), 5):
            path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            with pytest.raises(RosterFileInvalid) as caught:
                roster_files.read_signed(path, root.public_key)
            assert str(path) in str(caught.value)
            assert caught.value.exit_code == 10

    @pytest.mark.parametrize("content", [b"", b"not a roster", b"\xa0", b"\xa3droot\x01froster\x01isignature\xf6"])
    def test_of_other_content_are_refused(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "roster").write_bytes(content)
        with pytest.raises(RosterFileInvalid):
            roster_files.read(tmp_path / "roster")

    def test_a_person_sees_every_member_with_a_fingerprint(self) -> None:
        made = roster(3)
        shown, facts = roster_files.text(made, "ja"), roster_files.facts(made)
        for member in facts["members"]:
            assert member["name"] in shown
            assert member["fingerprint"] in shown


class TestPlanning:
    def test_a_plan_is_for_the_rosters_members(self) -> None:
        plan, shapes = make_plan(["job=溶接", "rounds=3"], roster(4))
        assert plan.members == ("m0", "m1", "m2", "m3")
        assert (plan.consortium, plan.rounds) == ("研究会", 3)
        assert layers(plan, shapes_from_json(json.dumps(shapes))) == layers(plan, shapes)
        assert from_yaml(to_yaml(plan), Plan) == plan

    def test_two_plans_of_the_same_settings_open_with_different_adapters(self) -> None:
        """Members reveal on an adapter once, so a second job with the first's seed would be refused in its round 1."""
        (one, shapes), (other, _) = (make_plan([job], roster()) for job in ("job=a", "job=b"))
        first, second = (step.first_state(plan, layers(plan, shapes)).factors for plan in (one, other))
        assert tensors.digest(first) != tensors.digest(second)
        assert make_plan(["job=a", "seed=7"], roster())[0].seed == 7

    def test_two_members_are_too_few(self) -> None:
        with pytest.raises(TooFewForAPlan) as caught:
            make_plan(["job=a"], roster(2))
        assert caught.value.exit_code == 9

    @pytest.mark.scenario(14)
    @pytest.mark.parametrize("typo", ["lora.rank=8", "+lora.rank=8", "++lora.rank=8"])
    def test_all_faults_are_told_at_once_with_the_key_that_was_meant(self, typo: str) -> None:
        with pytest.raises(ConfigInvalid) as caught:
            make_plan([typo, "rounds=0", "privcy.update_norm=1"], roster())
        told = str(caught.value)
        assert "Did you mean `lora.r`?" in told
        assert "`rounds` is 0" in told
        assert "privcy" in told

    @pytest.mark.parametrize("scheme", ["alternating", "fedsb"])
    def test_a_rank_that_the_scheme_cannot_have_is_told_before_anybody_approves_it(self, scheme: str) -> None:
        with pytest.raises(ConfigInvalid, match="smallest side of an adapted layer"):
            make_plan(["job=a", f"scheme={scheme}", "lora.r=1000"], roster())

    def test_a_target_that_the_model_does_not_have_is_told(self) -> None:
        with pytest.raises(NoSuchLayer) as caught:
            make_plan(["job=a", "lora.targets=[q_proj,w_proj]"], roster())
        assert "w_proj" in str(caught.value)
        assert caught.value.exit_code == 3


class TestPlansFromTheNetwork:
    """A proposed plan is a stranger's text until a person approved it."""

    @pytest.mark.parametrize(
        "text",
        [
            "a: [1\n{",
            "[" * 5000,
            "a: &a [1]\nb: [*a, *a]",
            "a: \x00",
            "!!python/object/apply:os.getpid []",
            "? [a]\n: 1",
            "- 1",
            "",
            "plan",
        ],
    )
    def test_what_is_no_plan_is_refused_as_such(self, text: str) -> None:
        with pytest.raises(ConfigInvalid):
            from_yaml(text, Plan)

    def test_nothing_of_this_machine_is_filled_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RENGO_TEST_SECRET", "hunter2")
        plan, _ = make_plan(["job=溶接"], roster())
        text = to_yaml(plan).replace("研究会", "${oc.env:RENGO_TEST_SECRET}")
        assert from_yaml(text, Plan).consortium == "${oc.env:RENGO_TEST_SECRET}"


class TestStatus:
    @pytest.fixture
    def plan(self) -> Plan:
        return make_plan(["job=溶接", "rounds=3"], roster())[0]

    @pytest.fixture
    def watch(self, plan: Plan, tmp_path: Path) -> Watch:
        return Watch(tmp_path / "status.json", plan, Printer("ja", as_json=False))

    @pytest.fixture
    def facts(self, tmp_path: Path) -> Callable[[], dict[str, object]]:
        return lambda: json.loads((tmp_path / "status.json").read_text(encoding="utf-8"))

    def test_tells_round_step_deadline_and_who_has_answered(
        self, watch: Watch, facts: Callable[[], dict[str, object]]
    ) -> None:
        watch.observe(Asked(Exchange(2, "masked", 60), frozenset({"m0", "m1", "m2"})))
        watch.observe(Answered(Exchange(2, "masked"), "m1", 100))
        watch.observe(Answered(Exchange(2, "masked"), "m0", 100))
        now = facts()
        assert (now["round"], now["step"], now["answered"]) == (2, "masked", ["m0", "m1"])
        assert float(now["deadline"]) - float(now["since"]) == pytest.approx(60, abs=1)  # type: ignore[arg-type]
        watch.observe(Asked(Exchange(2, "agreed", 60), frozenset({"m0", "m1", "m2"})))
        watch.observe(Answered(Exchange(2, "agreed"), "m2", 100))
        assert (facts()["step"], facts()["answered"]) == ("agreed", ["m2"])

    @pytest.mark.parametrize("kind", [Declined, Rejected])
    def test_tells_who_is_out_and_why(
        self,
        kind: type[Declined] | type[Rejected],
        watch: Watch,
        facts: Callable[[], dict[str, object]],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        watch.observe(kind(Exchange(1, "keys"), "m1", "plan-not-approved", "because"))
        assert facts()["refused"] == {"m1": "plan-not-approved: because"}
        assert "m1" in (said := capsys.readouterr().out)
        assert "because" in said

    def test_an_attempt_that_failed_is_printed(self, watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
        reason = "Only 0 members answered masked; 3 are needed. The attempt is given up."
        watch.observe(AttemptFailed(1, 2, "too-few-members", reason))
        said = capsys.readouterr().out
        assert "試行 2" in said
        assert "Only" not in said

    def test_a_refusal_is_printed_in_the_language_asked_for(
        self, watch: Watch, facts: Callable[[], dict[str, object]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        reason = PlanNotApproved(plan="8ea8").text("en")
        watch.observe(Asked(Exchange(1, "keys", 60), frozenset({"m0", "m1"})))
        watch.observe(Declined(Exchange(1, "keys"), "m1", "plan-not-approved", reason))
        words = PlanNotApproved(plan="8ea8").text("ja")
        assert capsys.readouterr().out == f"m1 が拒否（plan-not-approved）: {words}\n"
        assert facts()["refused"] == {"m1": f"plan-not-approved: {reason}"}  # for programs
        assert f"今回不参加: m1 (plan-not-approved: {words})" in status_text.text(watch._status, "ja")

    def test_tells_a_refusal_of_the_plan_once_with_its_reason(
        self, watch: Watch, facts: Callable[[], dict[str, object]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(2):
            watch.consents({"m0": (REFUSED, "契約審査中"), "m1": (APPROVED, "")})
        assert capsys.readouterr().out == "m0 が計画を拒否しました。理由: 契約審査中\n"
        assert (facts()["approved"], facts()["disapproved"]) == (["m1"], {"m0": "契約審査中"})
        watch.consents({"m0": (APPROVED, ""), "m1": (APPROVED, "")})
        assert (facts()["approved"], facts()["disapproved"]) == (["m0", "m1"], {})
        assert capsys.readouterr().out == ""

    def test_after_a_failed_attempt_whom_to_call_is_told_for_what_people_can_mend(
        self, watch: Watch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for member, code in (("m2", "plan-not-approved"), ("m0", "plan-not-approved"), ("m1", "outside-hours")):
            watch.observe(Declined(Exchange(1, "keys"), member, code, "because"))
        capsys.readouterr()
        watch.observe(AttemptFailed(1, 1, "too-few-members", "0 of 3", 15.0))
        said = capsys.readouterr().out
        assert "m0, m2: 各拠点では別の計画が動作中です" in said
        assert "rengo member stop; rengo member start" in said
        assert "15 秒後" in said
        assert "m1" not in said
        watch.observe(Declined(Exchange(1, "keys"), "m1", "data-set-busy", "because"))
        capsys.readouterr()
        watch.observe(AttemptFailed(1, 2, "too-few-members", "0 of 3"))
        assert "rengo member close" in (said := capsys.readouterr().out)
        assert "m0" not in said
        assert "秒後" not in said

    def test_is_always_whole(self, watch: Watch, facts: Callable[[], dict[str, object]], tmp_path: Path) -> None:
        watch.phase("waiting for members", {"m1"})
        assert facts()["online"] == ["m1"]
        assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


def test_every_error_of_the_coordinator_has_its_exit_code() -> None:
    codes = {TooFewForAPlan: 9, NoSuchLayer: 3, RosterFileInvalid: 10, KeyMissing: 4, NoCoordinatorHere: 9}
    assert all(issubclass(kind, RengoError) and kind.exit_code == code for kind, code in codes.items())
