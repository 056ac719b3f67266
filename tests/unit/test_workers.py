"""Threads in place of `map`: the same results in the same order, several at once, and nothing runs on at the end."""

import threading
import time

import pytest

from aggregator.carriers import Exchange
from aggregator.carriers.in_process import InProcess
from aggregator.workers import Workers

AT = Exchange(1, "masked")


def never() -> None:
    raise AssertionError("nobody was to be stopped")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_come_in_the_order_of_the_items_whoever_is_ready_first(count: int) -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.03 / (1 + number))
        return number * number

    with Workers(count, never) as workers:
        assert list(workers.in_order(slow_at_first, range(12))) == [n * n for n in range(12)]


@pytest.mark.parametrize("count", [2, 3])
def test_as_many_are_at_work_at_once_as_there_are_workers(count: int) -> None:
    together = threading.Barrier(count)  # is passed only by so many at once
    with Workers(count, never) as workers:
        passed = list(workers.in_order(lambda _: together.wait(timeout=10), range(3 * count)))
    assert sorted(passed) == sorted(list(range(count)) * 3)


def test_one_worker_is_the_caller_itself_and_works_only_when_asked() -> None:
    asked = []

    def note(number: int) -> threading.Thread:
        asked.append(number)
        return threading.current_thread()

    with Workers(1, never) as workers:
        results = workers.in_order(note, range(3))
        assert next(results) is threading.current_thread()
        assert asked == [0]


def test_no_more_results_wait_than_a_few() -> None:
    begun = []
    with Workers(2, never) as workers:
        results = workers.in_order(begun.append, range(100))
        next(results)
        time.sleep(0.05)
        assert len(begun) <= 5


def test_an_error_is_raised_where_its_result_is_due() -> None:
    def odd_only(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    with Workers(2, never) as workers:
        results = workers.in_order(odd_only, range(4))
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ValueError, match="two"):
            next(results)


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, ValueError])
def test_who_leaves_in_the_middle_stops_those_at_work_and_nothing_begins_any_more(leaving: type[BaseException]) -> None:
    begun, stopped = [], threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        if number:
            assert stopped.wait(timeout=10)

    def leave() -> None:
        with Workers(2, stopped.set) as workers:
            for _ in workers.in_order(work, range(50)):
                raise leaving

    with pytest.raises(leaving):
        leave()
    at_the_end = len(begun)
    time.sleep(0.05)
    assert len(begun) == at_the_end < 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_members_answer_at_once_and_are_heard_in_order() -> None:
    together = threading.Barrier(2)

    def handle(request: bytes) -> bytes:
        together.wait(timeout=10)
        return request + b"!"

    members = dict.fromkeys("dacb", handle)
    with Workers(2, never) as workers:
        carrier = InProcess(members, workers.in_order)
        answers = list(carrier.exchange(AT, {name: name.encode() for name in "cbda"}))
    assert answers == [(name, name.encode() + b"!") for name in "abcd"]
