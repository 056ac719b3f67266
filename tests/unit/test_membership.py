"""`rengo member roster` and `leave`: what changed is shown before it is approved, and records outlive the keys."""

from pathlib import Path

import pytest

from clients.approving import RosterOlder
from clients.home import NoMemberHere
from clients.registry_client import RegistryUnreachable
from federation.errors import UsageError
from federation.wire import Malformed
from tests.unit.site import consortium, journal_of, three_sites

ID = "akatombo-seiki"


class TestRosters:
    def test_show_what_changed_and_renew_the_plan_that_stands(self, tmp_path: Path) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            assert site.run("roster", "show")["approved"] is False
            plan = made.propose()
            site.run("approve", "--yes")
            assert site.run("roster", "show")["approved"] is True
            made.join("hanafubuki-insatsu")
            made.publish_roster()
            shown = site.run("roster", "show")
            assert (shown["approved"], shown["approved_version"], shown["version"]) == (False, 2, 3)
            assert "追加: " in site.said("roster", "show")
            renewed = site.run("roster", "approve", "--yes")
            assert renewed["renewed_plan"] == plan.digest().hex()[:16]
            with made.registry() as registry:
                roster = registry.roster().roster
                assert registry.consents(plan.digest(), roster.digest()) == {ID: ("approved", "")}
            assert site.home.roster().version == 3
            assert site.home.approved(plan)

    def test_that_are_older_than_the_approved_one_are_refused(self, tmp_path: Path) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            made.propose()
            site.run("approve", "--yes")
            with made.registry() as registry:
                registry._db.execute("DELETE FROM rosters WHERE version = 2")
            with pytest.raises(RosterOlder) as caught:
                site.run("review")
            assert caught.value.exit_code == 10

    def test_whose_plan_is_no_text_are_refused(self, tmp_path: Path) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            with made.registry() as registry:
                registry.propose_plan(b"job: \xff", bytes(32))
            with pytest.raises(Malformed, match="UTF-8"):
                site.run("review")


class TestLeaving:
    def test_tells_the_coordinator_and_keeps_the_records_alone(self, tmp_path: Path) -> None:
        with three_sites(tmp_path) as (made, (site, *_)):
            made.propose()
            site.run("approve", "--yes")
            with pytest.raises(UsageError, match="not the name of this site"):
                site.run("leave", "--name", "別の会社")
            site.run("leave", "--name", f"{ID} 株式会社")
            assert {path.name for path in site.path.iterdir()} == {"approvals.json", "journal.sqlite"}
            assert journal_of(site)[-2:] == ["leave", "answer_to_leave"]
            assert made.log()[-1] == f"{ID} left"
            with made.registry() as registry:
                assert ID not in registry.proposal().keys
            with pytest.raises(NoMemberHere):
                site.run("review")
            assert site.run("journal", "verify")["rows"] > 0

    def test_changes_nothing_while_the_coordinator_cannot_be_told(self, tmp_path: Path) -> None:
        made = consortium(tmp_path)
        with made.listening():
            site = made.join(ID)
        with pytest.raises(RegistryUnreachable):
            site.run("leave", "--name", ID)
        assert (site.path / "keys" / "member.key").exists()
