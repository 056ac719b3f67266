"""Sites with different machines in one job: each trains with what its member.toml says, and no plan knows of it."""

from pathlib import Path

import numpy as np
import pytest

from aggregator.carriers.in_process import InProcess
from aggregator.rounds import Event, Job, RoundDone, run
from aggregator.store import Store
from clients.home import Settings
from clients.journal import Journal
from clients.loading import load
from clients.service import make_member
from federation.errors import ConfigInvalid, DeviceUnavailable
from federation.plan import Model, Optimizer, Train
from tests.unit.site import DOCUMENTS, Site, three_sites

MODEL = Model("base", "0" * 64, "float32", "cpu", 2)
TRAIN = Train(64, 512, 128, Optimizer("adamw", 1e-3, 0.0))
SITE = Settings("akatombo-seiki", "https://127.0.0.1:1", "/srv/logs", "demo")


def also(site: Site, *lines: str) -> None:
    path = site.home.file("member.toml")
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")


def test_a_site_that_says_nothing_trains_as_the_plan_says() -> None:
    assert SITE.model_here(MODEL) == MODEL
    assert SITE.train_here(TRAIN) == TRAIN


def test_what_a_site_says_of_its_machine_changes_nothing_else() -> None:
    here = Settings(**vars(SITE) | {"device": "cuda:1", "dtype": "bfloat16", "threads": 8}).model_here(MODEL)
    assert here == Model("base", "0" * 64, "bfloat16", "cuda:1", 8)


@pytest.mark.parametrize(("asked", "taken"), [(512, 512), (400, 384), (128, 128), (8, 128), (4096, 512)])
def test_a_budget_is_whole_steps_one_at_least_and_never_more_than_the_plans(asked: int, taken: int) -> None:
    here = Settings(**vars(SITE) | {"tokens_per_round": asked}).train_here(TRAIN)
    assert here.tokens_per_round == taken
    assert here.optimizer == TRAIN.optimizer


def test_three_sites_with_three_machines_finish_one_job(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (made, sites):
        plan = made.propose("job=機材", "rounds=1", "train.tokens_per_round=256")
        also(sites[0], "tokens_per_round = 64")
        also(sites[1], 'dtype = "bfloat16"', "threads = 2")
        with made.registry() as registry:
            roster = registry.roster().roster
        members, journals = {}, []
        for id, site in zip(DOCUMENTS, sites, strict=True):
            site.run("approve", "--yes")
            journals.append(Journal(site.home.file("journal.sqlite")))
            members[id] = make_member(site.home, site.home.identity(), journals[-1], "host:1", "")[0].handle
        learner, _ = load(sites[0].home, plan)
        store, seen = Store(tmp_path / "store", plan.digest()), list[Event]()
        run(Job(plan, roster, made.home.identity(), learner.shapes), InProcess(members), store, seen.append)
        rounds = [event for event in seen if isinstance(event, RoundDone)]
        store.close()
        for journal in journals:
            journal.close()
    assert [len(done.aggregation.u3) for done in rounds] == [3, 3]
    assert any(np.abs(array).max() > 0 for array in rounds[0].mean.values())


def test_a_device_that_is_not_there_and_settings_that_make_no_sense_are_told(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (made, sites):
        plan = made.propose("job=機材", "rounds=1")
        also(sites[0], 'device = "cuda:7"')
        with pytest.raises(DeviceUnavailable):
            load(sites[0].home, plan)
        also(sites[1], 'dtype = "int4"', "threads = 0", "tokens_per_round = 1")
        with pytest.raises(ConfigInvalid) as caught:
            sites[1].home.settings()
    faults = [fault.text("en") for fault in caught.value.faults]
    assert len(faults) == 3
    for name in ("dtype", "threads", "tokens_per_round"):
        assert any(f"`{name}`" in fault for fault in faults)
