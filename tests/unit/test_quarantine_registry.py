"""Quarantine, as the registry keeps it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.registry_refusals import NotQuarantined, UnknownToRegistry
from federation.registry import Ask, Standing
from federation.wire import VERSION
from tests.unit.registering import Office, open_office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = open_office(tmp_path)
    yield office
    office.registry.close()


def test_rosters_are_the_same_while_a_member_is_in_quarantine_and_it_is_answered(office: Office) -> None:
    identity = office.member("toyo")
    before = office.registry.proposal()
    office.registry.quarantine("toyo")
    office.registry.quarantine("toyo")
    assert office.registry.quarantined() == {"toyo"}
    assert office.registry.proposal() == before
    assert isinstance(office.ask(Ask(0, VERSION, "0.1.0"), identity, Standing), Standing)
    office.registry.lift("toyo")
    assert office.registry.quarantined() == frozenset()
    assert [event for _, _, event in office.registry.log()][-2:] == [
        "quarantined toyo",
        "lifted the quarantine of toyo",
    ]


def test_it_is_known_who_can_be_in_quarantine_and_who_is(office: Office) -> None:
    with pytest.raises(UnknownToRegistry):
        office.registry.quarantine("toyo")
    office.member("toyo")
    with pytest.raises(NotQuarantined) as caught:
        office.registry.lift("toyo")
    assert caught.value.exit_code == 9
