"""What strangers and members write reaches the coordinator's log and tables short, escaped, and not without end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator import registry
from federation.identity import Identity
from federation.registry import PROTOCOL, Ask, Consent, Noted, Standing
from federation.secagg.messages import Refused
from tests.unit.registering import Office, open_office

PLAN = bytes(32)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = open_office(tmp_path)
    yield office
    office.registry.close()


class TestWhatASenderWrites:
    """Into the coordinator's log and tables: short, escaped, and not without end."""

    def test_as_its_name_is_short_and_escaped_in_the_log(self, office: Office) -> None:
        stranger = Identity.create("\x1b[2J\u202e" + "x" * 1000)
        assert isinstance(office.standing(stranger), Refused)
        event = office.log()[-1]
        assert event.startswith("refused ask of \\x1b[2J\\u202e")
        assert len(event) < 100

    def test_as_a_reason_or_version_is_escaped(self, office: Office) -> None:
        member = office.member("toyo")
        office.registry.propose_plan(b"plan", PLAN)
        roster = office.registry.roster().roster.digest()
        assert office.ask(Consent(PLAN, roster, "refused", "no\x1b[2J\nb approved"), member, Noted) == Noted()
        assert office.registry.consents(PLAN, roster)["toyo"] == ("refused", "no\\x1b[2J\\nb approved")
        office.ask(Ask(0, PROTOCOL, "\x1b[2J" + "9" * 900), member, Standing)
        version = office.registry.members()[0].rengo
        assert version is not None
        assert version.startswith("\\x1b[2J9")
        assert len(version) < 50

    def test_a_thousand_times_a_day_fills_no_disk(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "_MOST_REFUSALS", 5)
        before = len(office.log())
        for address in range(20):
            assert isinstance(office.standing(Identity.create("stranger"), peer=f"192.0.2.{address}"), Refused)
        rows = office.log()[before:]
        assert rows == ["refused ask of stranger: unknown-to-registry"] * 4 + [
            "refused 5 requests today; more are not logged before tomorrow (UTC)"
        ]
        office.member("toyo")
        assert office.log()[-1] == "toyo joined"

    def test_from_one_address_hides_nobody_else(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "_MOST_REFUSALS_OF_ONE", 3)
        before = len(office.log())
        for peer in ("192.0.2.1",) * 10 + ("192.0.2.2",):
            assert isinstance(office.standing(Identity.create("stranger"), peer=peer), Refused)
        one = "refused ask of stranger: unknown-to-registry"
        assert [(peer, event) for _, peer, event in office.registry.log()][before:] == [
            ("192.0.2.1", one),
            ("192.0.2.1", one),
            ("192.0.2.1", "refused 3 requests from here today; more are not logged before tomorrow (UTC)"),
            ("192.0.2.2", one),
        ]
