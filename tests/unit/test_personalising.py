"""`rengo member personalise`: a released adapter, trained on at a site with its own text, for that site."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from clients.home import NothingApproved
from clients.journal import Journal
from clients.loading import load
from federation import peft_folder, step
from federation.errors import UsageError
from federation.output import OutputFolderTaken
from federation.peft_folder import CONFIG, WEIGHTS, AdapterInvalid
from tests.unit.site import Site, three_sites


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with three_sites(tmp_path_factory.mktemp("拠点適応")) as (made, sites):
        made.propose("job=適応", "rounds=1")
        with pytest.raises(NothingApproved):
            sites[0].run("personalise", tmp_path_factory.mktemp("none"), "--out", tmp_path_factory.mktemp("out"))
        sites[0].run("approve", "--yes")
        yield sites[0]


@pytest.fixture(scope="module")
def adapter(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a coordinator would release: here, the first adapter."""
    plan = site.home.plan()
    learner, _ = load(site.home, plan)
    folder = tmp_path_factory.mktemp("released") / "adapter"
    factors = step.first_state(plan, learner.shapes).factors
    peft_folder.write(folder, factors, plan.lora, plan.model.name, "")
    return folder


def recorded(site: Site) -> tuple[int, int]:
    """How many rows the journal has of what left (a manifest that is frozen has one, too, and does not leave), and how
    often the data was in a sum."""
    journal = Journal(site.home.file("journal.sqlite"))
    found = len([row for row in journal.sent() if "freeze" not in row.kinds]), journal.contributions()
    journal.close()
    return found


def test_what_it_keeps_reads_the_validation_sample_no_worse_and_is_a_plain_peft_adapter(
    site: Site, adapter: Path, tmp_path: Path
) -> None:
    before = recorded(site)
    facts = site.run("personalise", adapter, "--out", tmp_path / "here", "--rounds", "2", "--learning-rate", "4e-3")
    assert recorded(site) == before  # nothing leaves, and no round is counted
    assert facts["given"] == facts["base"]  # an adapter that changes nothing
    assert facts["after"] > 0
    assert facts["kept"]["validation"] < facts["given"]["validation"]
    plan = site.home.plan()
    learner, corpus = load(site.home, plan)
    kept = peft_folder.read_checked(tmp_path / "here", learner.shapes, plan.lora)
    found = learner.evaluate(kept, corpus.test)
    assert found.nats / found.tokens == facts["kept"]["test"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "here").iterdir())
    assert "stays at this" in (tmp_path / "here" / "README.md").read_text(encoding="utf-8")


def test_where_nothing_that_was_tried_is_better_the_adapter_stays_as_it_came(
    site: Site, adapter: Path, tmp_path: Path
) -> None:
    facts = site.run("personalise", adapter, "--out", tmp_path / "here", "--rounds", "1", "--learning-rate", "0.9")
    assert facts["after"] == 0
    assert (tmp_path / "here" / WEIGHTS).read_bytes() == (adapter / WEIGHTS).read_bytes()


def changed(adapter: Path, folder: Path, how: str) -> Path:
    """The adapter, made into one that is not for this plan."""
    folder.mkdir()
    factors, config = load_file(adapter / WEIGHTS), json.loads((adapter / CONFIG).read_text())
    first = min(factors)
    match how:
        case "not a number":
            factors[first][0, 0] = np.nan
        case "another rank":
            factors[first] = factors[first][:-1].copy()
        case "a layer less":
            del factors[first]
        case "half precision":
            factors[first] = factors[first].astype(np.float16)
        case "another alpha":
            config["lora_alpha"] *= 2
        case "another method":
            config["peft_type"] = "LOHA"
    save_file(factors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config))
    match how:
        case "no weights":
            (folder / WEIGHTS).unlink()
        case "torn weights":
            (folder / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:500])
        case "huge weights":
            with (folder / WEIGHTS).open("ab") as file:
                file.truncate(1 << 33)
        case "a deep configuration":
            (folder / CONFIG).write_text("[" * 200_000)
        case "no configuration":
            (folder / CONFIG).unlink()
        case "pickled weights":
            (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    return folder


@pytest.mark.parametrize(
    "how",
    [
        *("not a number", "another rank", "a layer less", "half precision", "another alpha", "another method"),
        *("no weights", "torn weights", "huge weights", "a deep configuration", "no configuration", "pickled weights"),
    ],
)
def test_what_is_no_adapter_of_this_plan_is_refused_and_nothing_is_written(
    site: Site, adapter: Path, tmp_path: Path, how: str
) -> None:
    plan = site.home.plan()
    shapes = load(site.home, plan)[0].shapes
    with pytest.raises(AdapterInvalid):
        peft_folder.read_checked(changed(adapter, tmp_path / how.replace(" ", "-"), how), shapes, plan.lora)
    assert peft_folder.read_checked(adapter, shapes, plan.lora)


@pytest.mark.parametrize("more", [("--rounds", "0"), ("--learning-rate", "0"), ("--learning-rate", "2")])
def test_senseless_settings_are_refused(site: Site, adapter: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        site.run("personalise", adapter, "--out", tmp_path / "here", *more)


def test_a_folder_that_is_in_use_is_refused(site: Site, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(OutputFolderTaken):
        site.run("personalise", adapter, "--out", tmp_path)
    assert (tmp_path / "kept").read_text() == "mine"
