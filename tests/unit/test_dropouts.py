"""Drop-outs of a simulation: seeded, everywhere in the protocol, never too many, and each of them once."""

import itertools
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.carriers import Exchange
from aggregator.carriers.in_process import InProcess
from aggregator.simulate.dropouts import Dropping, schedule

MEMBERS = [f"member-{number:02}" for number in range(30)]
STEPS = ["keys", "shares", "masked", "agreed", "revealed"]


class TestSchedule:
    def test_is_the_same_for_the_same_seed(self) -> None:
        assert schedule(MEMBERS, 8, 3, seed=1) == schedule(MEMBERS, 8, 3, seed=1) != schedule(MEMBERS, 8, 3, seed=2)

    @pytest.mark.parametrize("seed", range(5))
    def test_of_a_job_of_the_default_size_loses_members_at_each_step_in_both_ways(self, seed: int) -> None:
        lost = schedule(MEMBERS, 8, 3, seed)
        assert {exchange.step for exchange, _ in lost} == set(STEPS)
        assert set(lost.values()) == {"request", "answer"}
        assert len(lost) == 8 * 3

    @given(st.integers(3, 60), st.integers(1, 12), st.integers(0, 5), st.integers(0, 2**63 - 1))
    @settings(max_examples=60)
    def test_loses_so_many_members_a_round_none_twice_running(
        self, count: int, rounds: int, each_round: int, seed: int
    ) -> None:
        members = MEMBERS[:count]
        each_round = min(each_round, len(members) // 6)  # config.spared allows no more
        lost = schedule(members, rounds, each_round, seed)
        by_round = [{m for exchange, m in lost if exchange.round == round} for round in range(1, rounds + 1)]
        assert [len(chosen) for chosen in by_round] == [each_round] * rounds
        assert len(lost) == each_round * rounds
        assert not any(this & following for this, following in itertools.pairwise(by_round))

    def test_names_steps_that_a_round_has(self) -> None:
        for exchange, _ in schedule(MEMBERS, 8, 5, seed=3):
            assert exchange.step in (STEPS if exchange.round == 1 else STEPS[2:])

    def test_of_no_losses_is_empty(self) -> None:
        assert schedule(MEMBERS, 8, 0, seed=1) == {}


class TestDropping:
    """Three members; `a`'s request and `b`'s answer are lost at one exchange."""

    AT = Exchange(2, "agreed")

    @pytest.fixture
    def asked(self) -> list[str]:
        return []

    @pytest.fixture
    def carrier(self, asked: list[str]) -> Dropping:
        def handler(member: str, request: bytes) -> bytes:
            asked.append(member)
            return request + member.encode()

        members = {m: (lambda request, m=m: handler(m, request)) for m in "abc"}
        return Dropping(InProcess(members), {(self.AT, "a"): "request", (self.AT, "b"): "answer"})

    def test_keeps_a_request_from_a_member_or_an_answer_from_the_coordinator(
        self, carrier: Dropping, asked: list[str]
    ) -> None:
        answers = list(carrier.exchange(self.AT, dict.fromkeys("abc", b"?")))
        assert answers == [("c", b"?c")]
        assert asked == ["b", "c"]

    def test_leaves_other_exchanges_alone(self, carrier: Dropping) -> None:
        for other in (Exchange(2, "masked"), Exchange(3, "agreed")):
            assert dict(carrier.exchange(other, dict.fromkeys("abc", b"?"))) == {"a": b"?a", "b": b"?b", "c": b"?c"}

    def test_loses_a_member_once_so_that_a_second_attempt_gets_through(self, carrier: Dropping) -> None:
        first, second = (dict(carrier.exchange(self.AT, dict.fromkeys("abc", b"?"))) for _ in range(2))
        assert (sorted(first), sorted(second)) == (["c"], ["a", "b", "c"])

    def test_does_not_use_up_the_loss_of_a_member_that_is_not_asked(self, carrier: Dropping) -> None:
        assert dict(carrier.exchange(self.AT, {"c": b"?"})) == {"c": b"?c"}
        assert dict(carrier.exchange(self.AT, {"a": b"?"})) == {}

    def test_does_not_change_the_schedule_that_it_was_given(self) -> None:
        class Silent:
            def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
                return iter(())

        lost = schedule(MEMBERS, 1, 3, seed=1)
        carrier = Dropping(Silent(), lost)
        for step in STEPS:
            list(carrier.exchange(Exchange(1, step), dict.fromkeys(MEMBERS, b"?")))
        assert lost == schedule(MEMBERS, 1, 3, seed=1)
