"""Requests that are made one at a time."""

import pytest

from federation.secagg.on_demand import OnDemand


def test_nothing_is_made_before_it_is_asked_for_and_nothing_is_kept() -> None:
    made: list[str] = []

    def make(member: str) -> str:
        made.append(member)
        return member.upper()

    requests = OnDemand(["b", "a"], make)
    assert (list(requests), len(requests), "a" in requests, "c" in requests, made) == (["b", "a"], 2, True, False, [])
    assert [requests["a"], requests["a"]] == ["A", "A"]
    assert made == ["a", "a"]
    with pytest.raises(KeyError):
        requests["c"]
    assert made == ["a", "a"]
