"""What `rengo coordinator start` says of itself while no job runs, and of a job's name that is taken."""

import json
from pathlib import Path

import pytest

from aggregator import cli, serving
from aggregator.home import Home
from aggregator.serving import JobNameTaken
from aggregator.store import Store
from federation.commands import Printer
from federation.plan import Plan
from tests.unit.site import Consortium, consortium, three_sites


def serve(home: Home, monkeypatch: pytest.MonkeyPatch, look: object) -> None:
    """Serve without a plan until the first look for one, which is `look`."""

    def looking(_: object) -> None:
        look()  # type: ignore[operator]
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "_take_handed", looking)
    with pytest.raises(KeyboardInterrupt):
        serving.serve(home, None, Printer("en", as_json=True))


def test_status_tells_a_coordinator_that_serves_without_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also after a restart, where an earlier process left the end of its job."""
    home = consortium(tmp_path).home
    (home.path / "status.json").write_text(json.dumps({"pid": 1, "job": "trial", "phase": "done"}))

    def look() -> None:
        capsys.readouterr()
        assert cli.main(["status", "--home", str(home.path)], "ja") == 0

    serve(home, monkeypatch, look)
    shown = capsys.readouterr().out
    assert "現在: 参加拠点の受付中、実行中のジョブなし" in shown
    assert "trial" not in shown
    assert "動作中（プロセス" in shown


@pytest.fixture
def used(tmp_path: Path) -> tuple[Consortium, Plan]:
    """A plan whose job's name another plan has had."""
    with three_sites(tmp_path) as (made, _):
        plan = made.propose("job=溶接")
    Store(made.home.job("溶接"), bytes(32)).close()
    return made, plan


def test_a_job_name_that_another_plan_had_is_told_with_what_to_choose(used: tuple[Consortium, Plan]) -> None:
    made, plan = used
    with made.registry() as registry:
        registry.keep_model(plan.model.sha256, json.dumps({"layer": [1, 1]}))
        with pytest.raises(JobNameTaken) as caught:
            serving.run_job(made.home, registry, plan, Printer("en", as_json=True))
    assert "job=NAME" in str(caught.value)
    assert "job=名前" in caught.value.text("ja")
    assert caught.value.exit_code == 3


def test_it_is_told_before_the_plan_is_handed_to_a_running_coordinator(used: tuple[Consortium, Plan]) -> None:
    made, plan = used
    with serving._alone(made.home), pytest.raises(JobNameTaken):
        serving.hand_over(made.home, plan)
    assert not (made.home.path / "handed-plan.yaml").exists()


def test_the_plan_of_a_job_that_stopped_is_handed_over_again(tmp_path: Path) -> None:
    with three_sites(tmp_path) as (made, _):
        plan = made.propose("job=溶接")
    Store(made.home.job("溶接"), plan.digest()).close()
    with serving._alone(made.home):
        assert serving.hand_over(made.home, plan)
    assert serving.read_plan(made.home.path / "handed-plan.yaml") == plan
