"""A plan may ask for more members in every sum than the least quorum, never for fewer. Coordinator and members hold to
it, in both threats; votes and shares stay those of the protocol."""

from dataclasses import replace
from pathlib import Path

import pytest

from federation import plan as p
from federation.errors import JobStopped
from tests.protocol.consortium import Consortium, Losing, make_consortium, make_plan
from tests.protocol.play import STEPS, Play, ask, refusal

DENSE = p.SecAgg(32, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6)
SPARSE = p.SecAgg(32, "semi_malicious", 0.05, 0.05, "auto", 3, "auto", 8.0, 1e-6)
NEIGHBOURS = p.SecAgg(32, "semi_malicious", 0.08, 0.1, "auto", 3, "auto", 8.0, 1e-6)


def of(count: int, secagg: p.SecAgg) -> p.Plan:
    names = tuple(f"m{n:03d}" for n in range(count))
    return make_plan(names, secagg=secagg, evaluation=p.Evaluation(1, 32, 0.2, 0.2))


def asking(count: int, quorum: int, folder: Path) -> Consortium:
    return make_consortium(folder, count, secagg=replace(DENSE, quorum=quorum))


@pytest.mark.parametrize(("secagg", "least"), [(DENSE, 21), (SPARSE, 21)], ids=["malicious", "semi_malicious"])
def test_a_number_is_between_the_least_quorum_and_all_members(secagg: p.SecAgg, least: int) -> None:
    assert of(30, secagg).quorum == of(30, replace(secagg, quorum=least)).quorum == least
    for stated in (least, least + 4, 30):
        assert p.check_consistent(of(30, replace(secagg, quorum=stated))) == []
    for stated in (least - 1, 31):
        (fault,) = p.check_consistent(of(30, replace(secagg, quorum=stated)))
        assert fault.facts["where"] == "secagg.quorum"
        for language in ("en", "ja"):
            assert f"{least}" in fault.text(language)
            assert f"{stated}" in fault.text(language)


def test_a_plan_that_was_not_checked_lowers_nothing() -> None:
    plan = of(30, replace(DENSE, quorum=3))
    assert (plan.quorum, plan.threshold, plan.corruptible) == (21, 21, 9)


@pytest.mark.parametrize("secagg", [DENSE, SPARSE], ids=["malicious", "semi_malicious"])
def test_it_changes_neither_the_threshold_nor_who_may_collude(secagg: p.SecAgg) -> None:
    usual, more = of(30, secagg), of(30, replace(secagg, quorum=30))
    assert (more.threshold, more.corruptible, more.neighbourhoods) == (
        usual.threshold,
        usual.corruptible,
        usual.neighbourhoods,
    )
    assert (more.quorum, more.spare) == (30, 0)
    assert more.digest() != usual.digest()


def test_a_round_that_fewer_are_in_fails_and_one_that_enough_are_in_is_summed(folder: Path) -> None:
    silent = {(1, "masked", "m06"): "answer"}  # of seven, least 5: the usual quorum would do
    for quorum, failed in ((5, 0), (6, 0), (7, 1)):
        consortium = asking(7, quorum, folder / str(quorum))
        consortium.run(Losing(consortium, silent, once=True))
        assert [event.code for event in consortium.failed] == ["too-few-members"] * failed
        assert all(len(done.aggregation.u3) >= quorum for done in consortium.rounds)
        consortium.check_sums()


def test_votes_and_shares_of_the_least_quorum_open_a_sum_of_all(folder: Path) -> None:
    consortium = asking(7, 7, folder)
    lost = {(3, "agreed", "m05"): "answer", (3, "revealed", "m06"): "answer"}
    consortium.run(Losing(consortium, lost))
    assert not consortium.failed
    assert consortium.rounds[-1].aggregation.u3 == consortium.names
    assert consortium.rounds[-1].aggregation.u4 == tuple(m for m in consortium.names if m != "m05")


@pytest.mark.parametrize(("secagg", "count"), [(DENSE, 7), (NEIGHBOURS, 20)], ids=["malicious", "semi_malicious"])
@pytest.mark.parametrize("step", ["keys", "shares", "masked"])
def test_members_refuse_a_smaller_set_of_a_coordinator_that_goes_on(
    folder: Path, step: str, secagg: p.SecAgg, count: int
) -> None:
    """It plays by a plan without the number, which would do; the members have approved the one with it."""
    consortium = make_consortium(folder, count, secagg=replace(secagg, quorum=count - 1))
    play = Play(consortium)
    play.aggregation.parties = replace(consortium.job.parties, asked=0)
    for before in STEPS[: STEPS.index(step)]:
        play.do(before)
    play.do(step, lost=consortium.names[-2:])
    assert not play.refused
    requests = play.prepare(STEPS[STEPS.index(step) + 1])
    assert len(requests) == count - 2
    for member, messages in requests.items():
        assert refusal(ask(consortium, member, messages[0])) == "cohort-too-small"


def test_a_quorum_out_of_reach_ends_the_job_in_words(folder: Path) -> None:
    consortium = asking(5, 5, folder)
    always = {(1, "keys", "m04"): "request"}
    with pytest.raises(JobStopped):
        consortium.run(Losing(consortium, always))
    assert "5 are needed" in consortium.failed[0].reason
