"""Crashes of the coordinator: it goes on after the last durable step, and asks nothing otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from aggregator.rounds import run, unmeasured
from federation.errors import JobStopped
from federation.identity import Identity, RosterEntry
from federation.plan import Scheme
from tests.protocol.consortium import Consortium, Killed, Losing, Lost, digest, make_consortium, undisturbed
from tests.protocol.killing import (
    Dying,
    DyingWithin,
    Moment,
    Undisturbed,
    When,
    check_nothing_shows,
    check_said_once,
    run_undisturbed,
    two_lives,
)

COLD, STEADY = ("keys", "shares", "masked", "agreed", "revealed"), ("masked", "agreed", "revealed")
EXCHANGES = [Exchange(1, s) for s in COLD] + [Exchange(round, s) for round in (2, 3) for s in STEADY]
WRITES = [(1, s) for s in (*COLD, "commit")] + [(round, s) for round in (2, 3) for s in (*STEADY, "commit")]
MOMENTS: dict[When, list[Moment]] = {
    "before": [Moment(*write, "before") for write in WRITES[1:]],  # before the first there is nothing to go on from
    "within": [Moment(*write, "within") for write in WRITES if write[1] in ("masked", "commit")],
    "after": [Moment(*write, "after") for write in WRITES],
}
# t = 4 of 5 remain in every step: m03 is lost with its Keys for round 3.
DROPOUTS: dict[tuple[int, str, str], Lost] = {(1, "masked", "m01"): "answer", (2, "agreed", "m03"): "request"}
LOST: dict[str, Mapping[tuple[int, str, str], Lost]] = {"nobody lost": {}, "drop-outs": DROPOUTS}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    """By what the carrier loses."""
    make = tmp_path_factory.mktemp
    return {name: run_undisturbed(make("undisturbed"), lost) for name, lost in LOST.items()}


@pytest.mark.parametrize("dies", [m for moments in MOMENTS.values() for m in moments if m.round < 3], ids=str)
def test_a_coordinator_killed_at_a_write_goes_on_after_the_last_one(
    folder: Path, dies: Moment, expected: dict[str, Undisturbed]
) -> None:
    consortium = make_consortium(folder)
    lives = [Losing(consortium), Losing(consortium)]
    adapter = two_lives(consortium, *lives, dies)
    check_nothing_shows(consortium, expected["nobody lost"], adapter, lives)
    # What was durable is not asked again; what was not is, once. So are voters, before the first is asked to reveal.
    first, second = (life.exchanges for life in lives)
    again = dies.step == "agreed" or (dies.step != "commit" and dies.when != "after")
    assert first + second[again:] == EXCHANGES
    assert not again or first[-1] == second[0]


@pytest.mark.parametrize("dies", [e for e in EXCHANGES[1:] if e.round < 3], ids=lambda e: f"{e.step} of {e.round}")
def test_a_coordinator_killed_within_an_exchange_asks_it_again_verbatim(
    folder: Path, dies: Exchange, expected: dict[str, Undisturbed]
) -> None:
    consortium = make_consortium(folder)
    lives = [DyingWithin(consortium, dies), Losing(consortium)]
    adapter = two_lives(consortium, *lives)
    check_nothing_shows(consortium, expected["nobody lost"], adapter, lives)
    voters = [Exchange(dies.round, "agreed")] if dies.step == "revealed" else []
    assert lives[0].exchanges[-1] == dies
    assert lives[1].exchanges[: len(voters) + 1] == [*voters, dies]


@pytest.mark.parametrize("when", MOMENTS)
def test_a_coordinator_killed_at_every_write_in_turn_ends_as_if_it_were_not(
    folder: Path, when: When, expected: dict[str, Undisturbed]
) -> None:
    consortium, lives = make_consortium(folder), []
    for dies in MOMENTS[when]:
        lives.append(Losing(consortium, DROPOUTS))
        with pytest.raises(Killed):
            consortium.run(lives[-1], Dying(consortium, dies))
    lives.append(Losing(consortium, DROPOUTS))
    adapter = digest(consortium.run(lives[-1]))
    check_nothing_shows(consortium, expected["drop-outs"], adapter, lives)


def test_requests_are_the_same_bytes_after_a_restart_under_every_scheme(folder: Path) -> None:
    """The refactor of `alternating` is floating-point work: what it gave is on disk, and not computed again."""
    consortium = make_consortium(folder, scheme=Scheme("alternating"))
    dies = Exchange(2, "masked")
    lives = [DyingWithin(consortium, dies), Losing(consortium)]
    two_lives(consortium, *lives)
    first, second = ({m: r for e, m, r in life.requests if e == dies} for life in lives)
    assert len(first) == 2
    assert first.items() <= second.items()


@pytest.mark.parametrize("where", [Moment(1, "keys", "before"), None])
def test_a_coordinator_killed_before_anything_was_durable_opens_a_new_attempt(
    folder: Path, where: Moment | None
) -> None:
    consortium = make_consortium(folder)
    within = Losing(consortium) if where else DyingWithin(consortium, Exchange(1, "keys"))
    assert two_lives(consortium, within, Losing(consortium), where) == undisturbed(folder)
    assert {done.aggregation.offer.attempt for done in consortium.rounds} == {2}


AFTER = [Moment(round, step, "after") for round, step in ((1, "shares"), (1, "masked"), (1, "agreed"), (2, "commit"))]


@pytest.mark.parametrize("dies", AFTER, ids=str)
def test_a_round_whose_members_have_restarted_too_is_tried_again(folder: Path, dies: Moment) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, dies))
    for name in consortium.names:
        consortium.start_member(name)
    assert digest(consortium.run()) == undisturbed(folder)
    assert [(failed.attempt, failed.code) for failed in consortium.failed] == [(1, "too-few-members")]
    assert consortium.rounds[-1].aggregation.offer.attempt == 2


def revealed(consortium: Consortium) -> int:
    """How many members have revealed, in all."""
    return sum(consortium.left(name).count("revealed") for name in consortium.names)


@pytest.mark.parametrize("round", [1, 2, 3])
def test_more_voters_than_can_be_missed_have_restarted_and_nobody_is_asked_to_reveal(folder: Path, round: int) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(round, "agreed", "after")))
    for name in ("m01", "m03"):
        consortium.start_member(name)
    assert digest(consortium.run()) == undisturbed(folder)
    assert [(failed.round, failed.code) for failed in consortium.failed] == [(round, "too-few-members")]
    assert revealed(consortium) == 3 * len(consortium.names)  # once a round


def test_voters_that_only_keep_silent_are_asked_to_reveal(folder: Path) -> None:
    """They may have revealed already, and their answers be lost."""
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(1, "agreed", "after")))
    silent: dict[tuple[int, str, str], Lost] = {(1, "agreed", name): "answer" for name in ("m01", "m02", "m03")}
    assert digest(consortium.run(Losing(consortium, silent))) == undisturbed(folder)
    assert not consortium.failed


@pytest.mark.parametrize(("count", "attempt"), [(1, 2), (4, 1)])
def test_what_arrived_before_a_kill_within_the_last_step_counts(folder: Path, count: int, attempt: int) -> None:
    """t shares open the sum, whoever restarts; with no more than N - t the others go on without who revealed."""
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(DyingWithin(consortium, Exchange(1, "revealed"), after=count))
    for name in consortium.names:
        consortium.start_member(name)
    consortium.run()
    assert [done.aggregation.offer.attempt for done in consortium.rounds] == [attempt, 2, 2]
    assert len(consortium.rounds[0].aggregation.u3) == (5 if attempt == 1 else 4)
    assert not any(journal.evidence() for journal in consortium.journals.values())


class Restarting(Losing):
    """A carrier on whose way some members restart, once, before an exchange of round 1."""

    def __init__(self, consortium: Consortium, before: str, restarting: tuple[str, ...]) -> None:
        super().__init__(consortium)
        self._before, self._restarting = before, restarting

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        if exchange == Exchange(1, self._before):
            for name in self._restarting:
                self._consortium.start_member(name)
            self._restarting = ()
        return super().exchange(exchange, requests)


def test_an_attempt_that_no_voter_can_open_any_more_is_given_up(folder: Path) -> None:
    consortium = make_consortium(folder)
    assert digest(consortium.run(Restarting(consortium, "revealed", consortium.names))) == undisturbed(folder)
    assert [failed.code for failed in consortium.failed] == ["too-few-members"]


def test_an_attempt_in_which_too_many_have_revealed_is_not_given_up(folder: Path) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(JobStopped, match="3 members revealed"):
        consortium.run(Restarting(consortium, "revealed", ("m00", "m01")))
    assert not consortium.failed


def test_the_final_adapter_is_had_when_its_measurement_fails(folder: Path) -> None:
    consortium = make_consortium(folder)
    silent: dict[tuple[int, str, str], Lost] = {
        (3, step, name): "request" for step in ("keys", "masked") for name in ("m00", "m01")
    }
    store = consortium.store()
    assert unmeasured(consortium.job, store) is None
    with pytest.raises(JobStopped):
        run(consortium.job, Losing(consortium, silent), store, consortium.events.append)
    state = unmeasured(consortium.job, store)
    store.close()
    assert state is not None
    assert digest(state) == undisturbed(folder)


def test_one_member_that_restarts_meanwhile_costs_the_round_nothing(folder: Path) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(1, "masked", "after")))
    consortium.start_member("m01")
    consortium.run()
    assert not consortium.failed
    assert "m01" in consortium.rounds[0].aggregation.u3
    consortium.check_sums()


def test_what_was_revealed_outlives_the_members_that_revealed_it(folder: Path) -> None:
    """They have forgotten their shares and would not reveal again, but nobody has to ask them."""
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(1, "commit", "before")))
    for name in consortium.names:
        consortium.start_member(name)
    assert digest(consortium.run()) == undisturbed(folder)
    assert consortium.rounds[0].aggregation.offer.attempt == 1


def test_a_job_that_stopped_for_lack_of_reveals_goes_on_when_they_can_be_had(folder: Path) -> None:
    consortium = make_consortium(folder)
    away: dict[tuple[int, str, str], Lost] = {(1, "revealed", name): "request" for name in ("m01", "m02")}
    lives = [Losing(consortium, away), Losing(consortium)]
    with pytest.raises(JobStopped, match="3 members revealed"):
        consortium.run(lives[0])
    assert digest(consortium.run(lives[1])) == undisturbed(folder)
    assert {m for e, m, _ in lives[1].requests if e == Exchange(1, "revealed")} == {"m01", "m02"}
    check_said_once(lives)


def test_a_new_roster_closes_the_open_round(folder: Path) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(1, "masked", "after")))
    consortium.roster = replace(consortium.roster, version=2)
    for name in consortium.names:
        consortium.start_member(name)
    assert digest(consortium.run()) == undisturbed(folder)
    assert not consortium.failed
    assert consortium.rounds[0].aggregation.offer.attempt == 2


def test_a_job_goes_on_under_a_new_roster(folder: Path) -> None:
    """Every member has restarted with it, so none can recompute the adapter: the proof is of a round under the old."""
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(1, "commit", "after")))
    joined = RosterEntry("m99", "新規株式会社", Identity.create("m99").public_key)
    consortium.roster = replace(consortium.roster, version=2, members=(*consortium.roster.members, joined))
    for name in consortium.names:
        consortium.start_member(name)
    assert digest(consortium.run()) == undisturbed(folder)
    assert not consortium.failed
    assert consortium.rounds[-1].aggregation.offer.roster == consortium.roster.digest()


@pytest.mark.parametrize("within", [False, True])
def test_a_round_that_members_have_revealed_for_is_finished_under_its_own_roster(folder: Path, within: bool) -> None:
    """They would not open a second sum on that adapter. The next round is under the new roster."""
    consortium = make_consortium(folder)
    old = consortium.roster
    carrier = DyingWithin(consortium, Exchange(1, "revealed"), after=4) if within else None
    store = None if within else Dying(consortium, Moment(1, "revealed", "after"))
    with pytest.raises(Killed):
        consortium.run(carrier, store)
    consortium.roster = replace(old, version=2)
    for name in consortium.names:
        consortium.start_member(name)
    assert digest(consortium.run()) == undisturbed(folder)
    assert not consortium.failed
    rosters = [done.aggregation.offer.roster for done in consortium.rounds]
    assert rosters == [old.digest(), consortium.roster.digest(), consortium.roster.digest()]


def test_a_voter_with_a_new_key_does_not_spoil_the_proof_of_the_last_round(folder: Path) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(1, "commit", "after")))
    consortium.identities["m02"] = Identity.create("m02")
    entries = tuple(
        replace(entry, public_key=consortium.identities[entry.id].public_key) for entry in consortium.roster.members
    )
    consortium.roster = replace(consortium.roster, version=2, members=entries)
    for name in consortium.names:
        consortium.start_member(name)
    assert digest(consortium.run()) == undisturbed(folder)
    assert consortium.rounds[-1].aggregation.u3 == consortium.names


def test_a_coordinator_that_has_finished_has_nothing_left_to_do(folder: Path) -> None:
    consortium = make_consortium(folder)
    final = consortium.run()
    carrier = Losing(consortium)
    assert digest(consortium.run(carrier)) == digest(final)
    assert carrier.exchanges == []
