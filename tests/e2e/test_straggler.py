"""A member whose program stands still while its training is awaited: the round closes at the deadline without it, later
rounds hardly wait for it, and it is in a sum again when it goes on. Real programs, Flower between them."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import copy_members
from tests.e2e.sites import Consortium, succeeds, wait_until

pytestmark = pytest.mark.e2e

TRAINING, ANSWER, ROUNDS = 75, 45, 5
MORE = 15
"""Seconds that Flower and a busy machine take on top of a deadline: the relay looks for answers twice a second."""


@pytest.fixture
def consortium(tmp_path: Path) -> Any:
    data = copy_members(tmp_path / "data", 4)
    made = Consortium(tmp_path, sorted(each.name for each in data.iterdir()), data)
    try:
        yield made
    finally:
        made.stop()


def test_a_member_that_stands_still_holds_no_round_beyond_its_deadline_and_comes_back(consortium: Consortium) -> None:
    made, slow = consortium, consortium.names[1]
    made.create()
    coordinator = made.serve()
    for name in made.names:
        assert made.join(name, made.token(name)).code == 0
    made.sign_roster()
    plan = made.make_plan(f"rounds={ROUNDS}", f"deadlines.training={TRAINING}", f"deadlines.answer={ANSWER}")
    succeeds("coordinator", "start", plan, "--home", made.home)
    coordinator.says("0 of 4 members approved")
    for name in made.names:
        succeeds("member", "approve", "--home", made.folder / name, "--yes")
    members = {name: made.start_member(name) for name in made.names}
    began: dict[tuple[int, str], float] = {}

    def seen(condition: Callable[[dict[str, Any]], object]) -> Callable[[], bool]:
        def look() -> bool:
            now = succeeds("coordinator", "status", "--home", made.home)
            if now["phase"] == "round":
                began.setdefault((now["round"], now["step"]), now["since"])
            return bool(condition(now))

        return look

    wait_until(seen(lambda now: (now["round"], now["step"]) == (1, "masked")), "members train")
    members[slow].process.send_signal(signal.SIGSTOP)
    wait_until(seen(lambda now: now["summed"] == 2), "two rounds without it")
    members[slow].process.send_signal(signal.SIGCONT)
    wait_until(seen(lambda now: slow in now["survivors"]), "it is in a sum again")
    said = coordinator.text()
    assert f"round 1/{ROUNDS} done: 3 of 4 members in the sum" in said
    assert f"round 2/{ROUNDS} done: 3 of 4 members in the sum" in said
    assert "attempt" not in said
    assert TRAINING <= began[1, "agreed"] - began[1, "masked"] < TRAINING + MORE
    for round in (1, 2):
        assert ANSWER <= began[round, "revealed"] - began[round, "agreed"] < ANSWER + MORE
    assert began[2, "agreed"] - began[2, "masked"] < TRAINING
