"""What `rengo coordinator plan` and `start PLAN` find wrong before anything is started."""

import json
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator import registry_server, serving
from aggregator.home import Home
from aggregator.planning import PlanUnreadable, make_plan
from aggregator.registry_server import CannotListen
from federation.commands import Printer
from federation.errors import ConfigInvalid, Language, ModelFolderInvalid
from federation.identity import Identity, SignedRoster
from tests.unit.site import SMALL, call, consortium, coordinator_cli
from tests.unit.test_coordinator_home import CHOSEN, roster


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "coordinator")
    made.create(CHOSEN)
    return made


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.yaml", {"en": "there is no such file", "ja": "ファイルがありません"}),
        ("latin-1.yaml", {"en": "it is not UTF-8 text", "ja": "UTF-8 ではありません"}),
        (".", {"en": "Is a directory", "ja": "Is a directory"}),
    ],
)
def test_what_cannot_be_read_as_a_plan_is_named_and_nothing_is_started(
    name: str, said: dict[Language, str], home: Home, tmp_path: Path
) -> None:
    (tmp_path / "latin-1.yaml").write_bytes(b"job: d\xe9cembre\n")
    with pytest.raises(PlanUnreadable) as caught:
        call(coordinator_cli.main, "start", tmp_path / name, "--home", home.path)
    assert caught.value.exit_code == 2
    for language, words in said.items():
        assert f"{tmp_path / name}" in caught.value.text(language)
        assert words in caught.value.text(language)


def test_a_carrier_port_that_is_taken_is_told_before_anyone_is_asked_to_approve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_server, "LEFT_BEHIND_SECONDS", 0.0)
    made = consortium(tmp_path)
    root = Identity.from_private_bytes("root", made.home.root_key.read_bytes())
    with made.registry() as registry, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        toml = made.home.path / "coordinator.toml"
        toml.write_text(toml.read_text("utf-8").replace(f":{made.port + 1}", f":{port}"), "utf-8")
        newest = replace(registry.roster().roster, version=2, members=roster().members)
        registry.publish_roster(SignedRoster.sign(newest, root))
        plan, shapes = make_plan(SMALL, newest)
        registry.keep_model(plan.model.sha256, json.dumps(shapes))
        with pytest.raises(CannotListen, match=f"The carrier cannot listen on 0.0.0.0:{port}: Address already") as told:
            serving.run_job(made.home, registry, plan, Printer("en", as_json=False))
        assert not any("plan" in event for _, _, event in registry.log())
    assert told.value.exit_code == 5
    assert "通信路が 0.0.0.0" in told.value.text("ja")


def test_a_carrier_port_that_a_killed_coordinator_has_left_taken_is_waited_for() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    leaving = threading.Timer(0.3, taken.close)
    leaving.start()
    registry_server.require_free_port("127.0.0.1", taken.getsockname()[1])
    leaving.join()


def test_a_model_that_is_not_there_is_told_with_the_other_faults(tmp_path: Path) -> None:
    path = f"model={tmp_path}/nowhere"
    with pytest.raises(ConfigInvalid) as caught:
        make_plan([path, "rounds=0", "train.token=5", "seed=-1"], roster())
    assert len(caught.value.faults) == 5  # the job is not given, either
    assert caught.value.exit_code == 2
    told = str(caught.value)
    assert f"The base model folder {tmp_path}/nowhere cannot be used: there is no such folder" in told
    assert "`train.token` is not a setting. Did you mean `train.tokens_per_round`?" in told
    assert "`seed` is -1; it has to be" in told
    assert " from 0 to 9223372036854775807." in told
    assert "フォルダーがありません" in caught.value.text("ja")
    with pytest.raises(ModelFolderInvalid) as alone:
        make_plan([path, "job=a"], roster())
    assert alone.value.exit_code == 3
