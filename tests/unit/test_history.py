"""The rule of one: after what was said, what may still be said. As tables, and as a machine that tries everything."""

from dataclasses import replace

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from federation.secagg.history import NOWHERE, History, Position
from federation.secagg.refusals import AdapterSpent, Closed, Refusal

A, B, C = (bytes([number] * 32) for number in range(3))
START = History()
ANNOUNCED = START.with_keys((1, 1))
SENT = ANNOUNCED.with_masked((1, 1), A)
OPENED = SENT.with_revealed((1, 1), A)
CARRIED = SENT.with_keys((1, 2))
"""Keys for round 2 were announced while round 1 is being opened."""
OVERTAKEN = SENT.with_keys((2, 1))
"""Round 1 is tried again, in attempt 2, before its sum was opened."""


class TestKeys:
    @pytest.mark.parametrize(
        ("said", "position"),
        [
            (START, (1, 1)),
            (START, (3, 7)),
            (ANNOUNCED, (1, 2)),
            (ANNOUNCED, (2, 1)),
            (SENT, (1, 2)),
            (SENT, (2, 1)),
            (OPENED, (1, 2)),
            (OPENED, (2, 2)),
            (OPENED, (2, 5)),
            (CARRIED, (2, 1)),
        ],
    )
    def test_may_be_sent(self, said: History, position: Position) -> None:
        assert said.with_keys(position) == replace(said, keyed=position)

    @pytest.mark.parametrize(
        ("said", "position", "why"),
        [
            (START, NOWHERE, "nothing"),
            (ANNOUNCED, (1, 1), "round 1, attempt 1"),
            (ANNOUNCED, (0, 9), "round 1, attempt 1"),
            (CARRIED, (1, 1), "round 2, attempt 1"),
            (OVERTAKEN, (1, 5), "round 1, attempt 2"),
            (OPENED, (2, 1), "round 1 was opened"),
            (CARRIED.with_masked((1, 2), B), (2, 1), "a vector of round 2"),
        ],
    )
    def test_are_refused(self, said: History, position: Position, why: str) -> None:
        with pytest.raises(Closed, match=why):
            said.with_keys(position)


class TestMasked:
    @pytest.mark.parametrize(
        ("said", "position", "adapter"),
        [(ANNOUNCED, (1, 1), A), (CARRIED, (1, 2), B), (OVERTAKEN, (2, 1), A), (CARRIED, (1, 2), A)],
    )
    def test_may_be_sent(self, said: History, position: Position, adapter: bytes) -> None:
        assert said.with_masked(position, adapter) == replace(said, masked=position)

    @pytest.mark.parametrize(
        ("said", "position", "adapter", "why"),
        [
            (START, (1, 1), A, "attempt 0 has begun"),
            (ANNOUNCED, (1, 2), A, "Keys were last sent for round 1"),
            (ANNOUNCED, (2, 1), A, "attempt 1 has begun"),
            (SENT, (1, 1), A, "a vector was sent for round 1"),
            (SENT, (1, 1), B, "a vector was sent for round 1"),
            (OVERTAKEN, (1, 1), A, "attempt 2 has begun"),
            (CARRIED.with_masked((1, 2), B), (1, 1), A, "a vector was sent for round 2"),
            (OPENED, (1, 1), B, "round 1 was opened"),
            (OPENED.with_keys((2, 2)), (2, 1), B, "round 1 was opened"),
        ],
    )
    def test_is_refused(self, said: History, position: Position, adapter: bytes, why: str) -> None:
        with pytest.raises(Closed, match=why):
            said.with_masked(position, adapter)

    def test_is_refused_on_a_spent_adapter_in_any_later_round(self) -> None:
        said = OPENED.with_keys((1, 2))
        with pytest.raises(AdapterSpent):
            said.with_masked((1, 2), A)
        assert said.with_masked((1, 2), B).masked == (1, 2)

    def test_is_refused_on_an_adapter_that_another_job_spent(self) -> None:
        with pytest.raises(AdapterSpent):
            replace(ANNOUNCED, spent=frozenset({A})).with_masked((1, 1), A)


class TestRevealed:
    def test_may_be_sent_for_the_last_vector(self) -> None:
        assert (OPENED.revealed_round, OPENED.spent) == (1, {A})

    def test_may_be_sent_when_the_next_keys_have_left_already(self) -> None:
        assert CARRIED.with_revealed((1, 1), A).revealed_round == 1

    @pytest.mark.parametrize(
        ("said", "position", "adapter", "why"),
        [
            (START, (1, 1), A, "attempt 0 has begun"),
            (ANNOUNCED, (1, 1), A, "a vector was sent for nothing"),
            (SENT, (1, 2), A, "a vector was sent for round 1"),
            (OVERTAKEN, (1, 1), A, "attempt 2 has begun"),
            (OVERTAKEN.with_masked((2, 1), A), (1, 1), A, "attempt 2 has begun"),
            (CARRIED.with_masked((1, 2), B), (1, 1), A, "a vector was sent for round 2"),
            (OPENED, (1, 1), A, "round 1 was opened"),
            (OPENED, (1, 1), B, "round 1 was opened"),
        ],
    )
    def test_is_refused(self, said: History, position: Position, adapter: bytes, why: str) -> None:
        with pytest.raises(Closed, match=why):
            said.with_revealed(position, adapter)

    def test_is_refused_when_another_job_spent_the_adapter_meanwhile(self) -> None:
        with pytest.raises(AdapterSpent):
            replace(SENT, spent=frozenset({A})).with_revealed((1, 1), A)


POSITIONS = st.tuples(st.integers(1, 3), st.integers(1, 4))
ADAPTERS = st.sampled_from([A, B, C])


class Coordinator(RuleBasedStateMachine):
    """A coordinator that asks for anything in any order; what the member's history allows is what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.said = START
        self.vectors: dict[Position, bytes] = {}
        self.opened: dict[Position, bytes] = {}

    @rule(position=POSITIONS)
    def ask_for_keys(self, position: Position) -> None:
        try:
            self.said = self.said.with_keys(position)
        except Refusal:
            return
        event("keys")

    @rule(position=POSITIONS, adapter=ADAPTERS)
    def ask_for_a_vector(self, position: Position, adapter: bytes) -> None:
        keyed, before = self.said.keyed, self.said.masked
        try:
            self.said = self.said.with_masked(position, adapter)
        except Refusal:
            return
        event("vector")
        assert before < position <= keyed
        assert position not in self.vectors
        self.vectors[position] = adapter

    @rule()
    def go_on(self) -> None:
        """What an honest coordinator does next, so that deep histories are common."""
        if self.said.masked == self.said.keyed:
            self.ask_for_keys((self.said.keyed[0] or 1, self.said.masked[1] + 1))
        else:
            self.ask_for_a_vector(self.said.keyed, C)

    @rule(position=POSITIONS, adapter=ADAPTERS)
    def ask_to_reveal(self, position: Position, adapter: bytes) -> None:
        self.reveal(position, adapter)

    @rule()
    def ask_to_reveal_the_last_vector(self) -> None:
        self.reveal(self.said.masked, self.vectors.get(self.said.masked, A))

    def reveal(self, position: Position, adapter: bytes) -> None:
        try:
            self.said = self.said.with_revealed(position, adapter)
        except Refusal:
            return
        event("revealed")
        assert position == max(self.vectors)
        assert position not in self.opened
        assert position[0] == self.said.keyed[0]
        self.opened[position] = adapter

    @invariant()
    def no_adapter_and_no_round_is_opened_twice(self) -> None:
        assert len(set(self.opened.values())) == len(self.opened)
        assert len({round for _, round in self.opened}) == len(self.opened)
        assert self.said.spent == set(self.opened.values())

    @invariant()
    def nothing_is_said_for_a_round_before_the_one_that_was_opened(self) -> None:
        if self.opened:
            assert self.said.masked[1] >= self.said.revealed_round == max(self.opened)[1]

    @invariant()
    def a_vector_is_only_sent_for_a_set_up(self) -> None:
        assert self.said.masked <= self.said.keyed

    @invariant()
    def what_was_spent_stays_spent(self) -> None:
        for adapter in self.opened.values():
            with pytest.raises(AdapterSpent):
                self.said.require_unspent(adapter)


TestAnyCoordinator = Coordinator.TestCase
TestAnyCoordinator.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_whole_job_of_three_rounds_is_possible() -> None:
    """The machine above would be green if nothing were ever allowed; this is what has to be."""
    said = START.with_keys((1, 1))
    for round, adapter in enumerate((A, B, C), start=1):
        said = said.with_masked((1, round), adapter).with_keys((1, round + 1)).with_revealed((1, round), adapter)
    assert said == History((1, 4), (1, 3), 3, frozenset({A, B, C}))
