"""What is wrong or was tampered with is told with its exit code and its name, before anything is sent."""

import hashlib
import shutil
from pathlib import Path

import pytest

from aggregator.simulate.table import DEMO_BASE
from clients.home import Home
from clients.journal import Journal
from federation import base_model
from tests.e2e.conftest import Trained
from tests.e2e.sites import Consortium, Done, free_ports, rengo

pytestmark = pytest.mark.e2e


def start(site: Home) -> Done:
    return rengo("member", "start", "--home", site.path)


@pytest.fixture
def site(trained: Trained, tmp_path: Path) -> Home:
    """A copy of a member that has approved the plan and taken part."""
    return trained.consortium.copy_of_site(trained.consortium.names[0], tmp_path / "site")


@pytest.mark.scenario(9)
def test_a_site_with_another_base_model_stops_before_anything_is_sent(site: Home, tmp_path: Path) -> None:
    other = tmp_path / "model"
    shutil.copytree(DEMO_BASE, other)
    config = other / "config.json"
    config.write_text(config.read_text() + "\n")
    toml = site.file("member.toml")
    toml.write_text(toml.read_text().replace('"demo"', f'"{other}"', 1))
    for name in site.path.glob("journal.sqlite*"):  # in which the job is finished
        name.unlink()
    Journal(site.file("journal.sqlite")).close()  # as joining leaves it
    done = start(site)
    assert (done.code, done.facts["error"]) == (3, "model-mismatch")
    facts = done.facts["facts"]
    assert facts["expected"] == base_model.digest(DEMO_BASE)
    assert facts["actual"] == base_model.digest(other)
    assert facts["expected"] in done.facts["message"]
    assert facts["actual"] in done.facts["message"]
    assert not site.file("flower").exists()  # the node was never started
    journal = Journal(site.file("journal.sqlite"))
    assert [row for row in journal.sent() if row.job] == []
    journal.close()


@pytest.mark.scenario(12)
@pytest.mark.parametrize("how", ["changed", "not YAML", "a plan of another job"])
def test_a_tampered_plan_at_a_site_is_named(how: str, site: Home) -> None:
    plan = site.file("plan.yaml")
    text = plan.read_text(encoding="utf-8")
    tampered = {
        "changed": text.replace("rounds: 2", "rounds: 200"),
        "not YAML": text + "\n{",
        "a plan of another job": text.replace("job: trial", "job: other"),
    }[how]
    assert tampered != text
    plan.write_text(tampered, encoding="utf-8")
    done = start(site)
    assert done.code == 10
    assert str(plan) in done.facts["message"]


@pytest.mark.scenario(12)
def test_a_tampered_roster_at_a_site_is_named(site: Home) -> None:
    roster = site.file("roster")
    data = bytearray(roster.read_bytes())
    data[-40] ^= 1
    roster.write_bytes(data)
    done = start(site)
    assert done.code == 10
    assert str(roster) in done.facts["message"]


@pytest.mark.scenario(12)
def test_a_tampered_roster_is_not_published_and_is_named(trained: Trained, tmp_path: Path) -> None:
    signed = tmp_path / "roster.signed"
    data = bytearray((trained.consortium.folder / "roster.signed").read_bytes())
    data[-1] ^= 1
    signed.write_bytes(data)
    done = rengo("coordinator", "roster", "--home", trained.consortium.home, "--publish", signed)
    assert done.code == 10
    assert str(signed) in done.facts["message"]


@pytest.fixture
def coordinator(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the coordinator with its finished job, on other ports."""
    home = tmp_path / "coordinator"
    shutil.copytree(trained.consortium.home, home, ignore=shutil.ignore_patterns("lock", "flower"))
    toml = (home / "coordinator.toml").read_text(encoding="utf-8")
    for taken, free in zip(
        (trained.consortium.registry_port, trained.consortium.carrier_port), free_ports(2), strict=True
    ):
        toml = toml.replace(str(taken), str(free))
    (home / "coordinator.toml").write_text(toml, encoding="utf-8")
    return home


def test_a_plan_whose_job_is_done_is_not_proposed_again(coordinator: Path, trained: Trained) -> None:
    done = rengo("coordinator", "start", trained.plan, "--home", coordinator)
    assert done.code == 0
    adapter = coordinator / "jobs" / "trial" / "adapter" / "adapter_model.safetensors"
    assert hashlib.sha256(adapter.read_bytes()).hexdigest() in done.out
    members = rengo("coordinator", "members", "--home", coordinator).facts["members"]
    assert [member["plan"] for member in members] == [None] * len(members)


@pytest.mark.scenario(12)
def test_a_tampered_adapter_at_the_coordinator_is_named_before_members_are_asked(
    coordinator: Path, trained: Trained
) -> None:
    newest = sorted((coordinator / "jobs" / "trial").glob("round-*.safetensors"))[-1]
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    done = rengo("coordinator", "start", trained.plan, "--home", coordinator)
    assert done.code == 10
    assert str(newest) in done.facts["message"]
    assert not (coordinator / "flower").exists()


@pytest.mark.scenario(12)
def test_a_tampered_plan_at_the_coordinator_does_not_go_on_with_the_job(
    coordinator: Path, trained: Trained, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(trained.plan.read_text(encoding="utf-8").replace("rounds: 2", "rounds: 3"), encoding="utf-8")
    done = rengo("coordinator", "start", plan, "--home", coordinator)
    assert done.code == 3
    assert "has been run as job trial" in done.facts["message"]


@pytest.mark.scenario(14)
@pytest.mark.parametrize("override", ["lora.rank=8", "+lora.rank=8", "++lora.rank=8"])
def test_a_typo_in_a_plan_names_the_valid_key(override: str, consortium: Consortium) -> None:
    done = rengo("coordinator", "plan", "job=trial", override, "rounds=0", "--home", consortium.home)
    assert done.code == 2
    assert done.out == ""
    message = done.facts["message"]
    assert "`lora.rank` is not a setting. Did you mean `lora.r`?" in message
    assert "`rounds`" in message  # every fault at once
