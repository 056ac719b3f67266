"""Whole jobs under `threat=semi_malicious`: members that deal with their neighbours only, and sums that are exact."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from federation.secagg.graph import graph_of
from federation.secagg.messages import Cohort, Inbox, Revealed, Survivors, Unmask
from federation.secagg.server import Step, TooFewMembers
from federation.wire import Signed, read_body, read_frame
from tests.protocol.consortium import Consortium, Losing, make_consortium
from tests.protocol.neighbours import make_sparse, parameters_of
from tests.protocol.play import LIMITS, Play
from tests.protocol.test_rounds import lose


@pytest.mark.parametrize("lost_step", list(Step))
def test_one_loss_at_any_step_costs_nothing_and_the_sum_is_that_of_the_plain_vectors(
    folder: Path, lost_step: Step
) -> None:
    consortium = make_sparse(folder, 20, rounds=1)
    consortium.run(Losing(consortium, lose(1, lost_step.value, "m02")))
    assert [done.round for done in consortium.rounds] == [1, 2]
    assert not consortium.failed
    assert [step for step in Step if "m02" in consortium.rounds[0].aggregation.dropped[step]] == [lost_step]
    consortium.check_sums()


def test_sixty_members_with_losses_at_every_step_of_two_rounds(folder: Path) -> None:
    consortium = make_sparse(folder, 60, rounds=1)
    lost = lose(1, "keys", "m03") | lose(1, "shares", "m11") | lose(1, "masked", "m20", how="request")
    lost |= lose(1, "agreed", "m31") | lose(1, "revealed", "m42") | lose(2, "masked", "m55")
    consortium.run(Losing(consortium, lost))
    assert not consortium.failed
    assert [len(done.aggregation.u3) for done in consortium.rounds] == [57, 57]
    consortium.check_sums()


def test_a_carried_set_up_has_neighbours_of_its_own(folder: Path) -> None:
    consortium = make_sparse(folder, 20, rounds=2)
    carrier = Losing(consortium)
    consortium.run(carrier)
    assert [done.aggregation.offer.attempt for done in consortium.rounds] == [1, 1, 1]
    inboxes = [
        read_frame(request, LIMITS)[0]
        for at, member, request in carrier.requests
        if member == "m00" and at.step == "masked"
    ]
    shown = [tuple(s.header.sender for s in read_body(Inbox, m.header.body).shares) for m in inboxes]
    assert len({*shown}) == 3
    assert {len(each) for each in shown} == {parameters_of(consortium).degree + 1}


def test_no_member_is_shown_or_says_anything_of_others_than_its_neighbourhood(folder: Path) -> None:
    consortium = make_sparse(folder, 20, rounds=1)
    carrier = Losing(consortium, lose(1, "masked", "m05"))
    consortium.run(carrier)
    shown = [m for kind in (Cohort.kind, Inbox.kind, Survivors.kind) for m in sent(carrier, kind)]
    assert {len(listed(m)) for m in shown} <= {parameters_of(consortium).degree, parameters_of(consortium).degree + 1}
    for answer in [s for _, _, frame in carrier.answers for s in read_frame(frame, LIMITS)]:
        if answer.header.kind == Revealed.kind:
            revealed = read_body(Revealed, answer.header.body)
            assert len(revealed.seed_shares) + len(revealed.key_shares) == parameters_of(consortium).degree + 1
    votes = {len(read_body(Unmask, m.header.body).agreed) for m in sent(carrier, Unmask.kind)}
    assert max(votes) <= parameters_of(consortium).degree + 1


def sent(carrier: Losing, kind: str) -> list[Signed]:
    """Every message of a kind that the coordinator sent."""
    frames = [read_frame(request, LIMITS) for _, _, request in carrier.requests]
    return [message for frame in frames for message in frame if message.header.kind == kind]


def listed(message: Signed) -> list[object]:
    """The statements that a message shows."""
    body = message.header.body
    return list(body[{"cohort": "keys", "inbox": "shares", "survivors": "masked"}[message.header.kind]])


class EmptyingANeighbourhood:
    """A carrier that once loses the vectors of so many of m00's neighbours that its secrets cannot be opened."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium, self._done = consortium, False

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        lost: set[str] = set()
        if exchange.step == "masked" and not self._done:
            share_ctx = read_frame(requests["m00"], LIMITS)[0].header.digest
            lost, self._done = too_many(self._consortium, share_ctx), True
        for member in sorted(requests.keys() - lost):
            yield member, self._consortium.members[member].handle(requests[member])


def too_many(consortium: Consortium, share_ctx: bytes) -> set[str]:
    """Neighbours of m00 of whom its secrets cannot spare one: the outermost, since next to each other they would be too
    many for others too, and the vote would end the attempt first."""
    found = parameters_of(consortium)
    ring = graph_of(consortium.names, found.degree, share_ctx).ring
    at, reach = ring.index("m00"), found.degree // 2
    outermost = [ring[(at + side) % len(ring)] for step in range(reach, 0, -1) for side in (step, -step)]
    return set(outermost[: found.degree + 2 - found.threshold])


def test_a_neighbourhood_below_t_gives_the_attempt_up_before_anyone_reveals(folder: Path) -> None:
    consortium = make_sparse(folder, 20)
    play = Play(consortium).through("shares")
    lost = too_many(consortium, play.aggregation.share_ctx)
    assert len(lost) <= 20 - consortium.plan.quorum  # of all members there are enough
    play.do("masked", lost=lost).do("agreed")
    with pytest.raises(TooFewMembers, match="shares of m"):
        play.prepare("revealed")
    assert not any("revealed" in consortium.left(name) for name in consortium.names)


def test_the_next_attempt_has_other_neighbourhoods_and_completes(folder: Path) -> None:
    consortium = make_sparse(folder, 20, rounds=1)
    consortium.run(EmptyingANeighbourhood(consortium))
    assert [(failed.round, failed.code) for failed in consortium.failed] == [(1, "too-few-members")]
    assert "shares of m" in consortium.failed[0].reason
    assert [done.round for done in consortium.rounds] == [1, 2]
    consortium.check_sums()


def test_too_few_votes_give_the_attempt_up(folder: Path) -> None:
    consortium = make_sparse(folder, 40)
    play = Play(consortium).through("masked")
    found, requests = parameters_of(consortium), play.prepare("agreed")
    voters = graph_of(consortium.names, found.degree, play.aggregation.share_ctx).voters
    silent = voters[: found.degree + 2 - found.threshold]
    for name, messages in requests.items():
        play.take("agreed", name, messages, accept=name not in silent)
    with pytest.raises(TooFewMembers, match=r"the vote|shares of"):
        play.prepare("revealed")


def test_both_threats_give_the_same_adapter(folder: Path) -> None:
    """To the bit: neighbours change what is hidden from whom, and not the sum."""
    sparse = make_sparse(folder / "sparse", 14, rounds=1).run().factors
    dense = make_consortium(folder / "dense", 14, rounds=1).run().factors
    assert all((sparse[name] == dense[name]).all() for name in dense)
