"""policy.toml: a whole one permits or names the line; a broken one names every fault."""

import datetime
from dataclasses import replace
from pathlib import Path

import pytest

from clients import policy_file
from clients.policy import Hours, Policy
from clients.policy_file import PolicyInvalid, RefusedByPolicy
from federation.errors import SettingsFileInvalid
from federation.plan import SecAgg
from federation.secagg.contexts import SUITE
from federation.secagg.messages import Offer
from federation.secagg.refusals import OutsideHours
from tests.protocol.consortium import BASE_MODEL, make_plan

PLAN = make_plan(("a", "b", "c", "d"), rounds=20)
SPARSE = SecAgg(32, "semi_malicious", 0.05, 0.1, "auto", 3, "auto", 8.0, 1e-6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(policy_file.DEFAULT, encoding="utf-8")
    return file


def change(path: Path, key: str, value: str) -> int:
    """Set one line; its number."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(key))
    lines[at] = f"{key} = {value}"
    path.write_text("\n".join(lines), encoding="utf-8")
    return at + 1


def test_the_default_permits_an_ordinary_plan_and_asks_a_person(path: Path) -> None:
    assert policy_file.breaches(path, PLAN, 0) == []
    policy = policy_file.read(path)
    assert (policy.automatic_approval, policy.two_persons, policy.hours) == (False, False, None)


@pytest.mark.parametrize(
    ("key", "value", "detail", "detail_ja"),
    [
        ("minimum_cohort", "5", "the plan has 4 members", "計画の参加拠点は 4 です"),
        ("rounds_per_data_set", "30", "was in 10 sums, and the plan adds up to 21", "既に 10 回"),
        ("rounds_per_plan", "19", "the plan has 20 rounds", "計画は 20 回です"),
        ("base_models", f'["{"0" * 64}"]', f"tiny {BASE_MODEL.hex()}", "計画の基盤モデルは tiny"),
    ],
)
def test_a_plan_beyond_a_limit_is_refused_and_the_line_named(
    path: Path, key: str, value: str, detail: str, detail_ja: str
) -> None:
    line = change(path, key, value)
    with pytest.raises(RefusedByPolicy) as caught:
        policy_file.require_within(path, PLAN, 10)
    assert f"policy.toml line {line}, {key}: " in str(caught.value)
    assert detail in str(caught.value)
    assert f"policy.toml {line} 行目 {key}: " in caught.value.text("ja")
    assert detail_ja in caught.value.text("ja")
    assert caught.value.exit_code == 11


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("minimum_cohort", "4"),
        ("rounds_per_data_set", "31"),
        ("rounds_per_plan", "20"),
        ("base_models", f'["{"0" * 64}", "{BASE_MODEL.hex().upper()}"]'),
    ],
)
def test_a_plan_at_a_limit_is_permitted(path: Path, key: str, value: str) -> None:
    change(path, key, value)
    policy_file.require_within(path, PLAN, 10)


def test_a_plan_that_trusts_the_coordinator_is_permitted_only_by_its_line(path: Path) -> None:
    weaker = make_plan(tuple(f"m{n:02}" for n in range(30)), secagg=SPARSE)
    with pytest.raises(RefusedByPolicy, match="semi_malicious: the plan trusts the coordinator"):
        policy_file.require_within(path, weaker, 0)
    change(path, "semi_malicious", "true")
    policy_file.require_within(path, weaker, 0)


def test_every_line_that_is_broken_is_named_at_once(path: Path) -> None:
    change(path, "rounds_per_plan", "1")
    change(path, "minimum_cohort", "9")
    assert [breach.key for breach in policy_file.breaches(path, PLAN, 0)] == ["minimum_cohort", "rounds_per_plan"]


def test_a_broken_file_lists_all_its_faults_and_its_name(path: Path) -> None:
    path.write_text(
        'minimum_cohort = 2\nrounds_per_data_set = "many"\nrounds_per_plans = 3\nbase_models = ["abc"]\n'
        'training_hours = "20-6"\ntwo_persons = true\nautomatic_approval = true\n',
        encoding="utf-8",
    )
    with pytest.raises(PolicyInvalid) as caught:
        policy_file.read(path)
    text = str(caught.value)
    assert text.startswith(f"{path} has 9 fault(s)")
    for part in (
        "`minimum_cohort` is 2; it has to be a whole number of at least 3",
        "`rounds_per_data_set` is 'many'",
        "`rounds_per_plans` is not a setting. Did you mean `rounds_per_plan`?",
        "`rounds_per_plan` is not set",
        "`semi_malicious` is not set",
        "'abc' is not 'any' or a SHA-256",
        "'20-6' is not",
        "`permitted_marks` is not set",
        "`automatic_approval`: two_persons = true needs persons",
    ):
        assert part in text
    assert caught.value.exit_code == 2
    assert "9 件の誤り" in caught.value.text("ja")


def test_marks_of_confidentiality_are_permitted_by_name_and_none_by_default(path: Path) -> None:
    assert policy_file.read(path).marks == set()
    change(path, "permitted_marks", '["社外秘", "秘"]')
    assert policy_file.read(path).marks == {"社外秘", "秘"}
    change(path, "permitted_marks", '["社外極秘"]')
    with pytest.raises(PolicyInvalid, match="'社外極秘' is none of 極秘, 社外秘"):
        policy_file.read(path)


@pytest.mark.parametrize("content", [b"minimum_cohort = ", b"\xff\xfe", None])
def test_a_file_that_is_no_toml_is_a_clear_error(path: Path, content: bytes | None) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsFileInvalid, match=r"policy\.toml") as caught:
        policy_file.read(path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["24:00-06:00", "20:00-20:00", "8:00-9:00", "20:60-21:00"])
def test_hours_that_are_none_are_a_fault(path: Path, text: str) -> None:
    change(path, "training_hours", f'"{text}"')
    with pytest.raises(PolicyInvalid, match="training_hours"):
        policy_file.read(path)


def test_hours_may_go_over_midnight(path: Path) -> None:
    change(path, "training_hours", '"20:00-06:00"')
    hours = policy_file.read(path).hours
    assert hours is not None
    inside = [hour for hour in range(24) if datetime.time(hour) in hours]
    assert inside == [0, 1, 2, 3, 4, 5, 20, 21, 22, 23]
    assert [hour for hour in range(24) if datetime.time(hour) in Hours(hours.end, hours.start)] == list(range(6, 20))


def test_a_round_outside_the_hours_is_refused_and_one_inside_is_not() -> None:
    offer = Offer(SUITE, PLAN.consortium, PLAN.job, 1, 1, bytes(32), b"r" * 32, PLAN.digest(), BASE_MODEL)
    policy = Policy(PLAN.digest(), b"r" * 32, BASE_MODEL, 3, 5)
    now = datetime.datetime.now().astimezone()
    before, after = ((now + datetime.timedelta(hours=hours)).time() for hours in (-1, 1))
    replace(policy, hours=Hours(before, after)).check(offer, PLAN)
    with pytest.raises(OutsideHours, match="it is"):
        replace(policy, hours=Hours(after, before)).check(offer, PLAN)
