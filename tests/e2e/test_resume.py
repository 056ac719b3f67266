"""An interrupted run that is resumed ends where it would have ended: the same adapter, the same figures."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aggregator.rounds import Event, RoundDone
from aggregator.simulate import cli, report, table
from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.progress import Teller
from federation import load_plan
from federation.errors import ConfigInvalid, RengoError, UsageError
from federation.plan import Plan

Overrides = Callable[..., Sequence[str]]


def begin(overrides: Sequence[str], output: Path) -> None:
    output.mkdir()
    cli.begin(load_plan.compose(overrides, SimulateConfig, "simulate"), output, language="en", as_json=True)


def summary(output: Path) -> dict[str, Any]:
    return json.loads((output / "summary.json").read_text())


def plan_digest(output: Path) -> str:
    return load_plan.from_yaml((output / "plan.yaml").read_text(), Plan).digest().hex()


@pytest.fixture(scope="module")
def uninterrupted(overrides: Overrides, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("whole") / "run"
    begin(overrides(), output)
    return summary(output)


def interrupt(overrides: Sequence[str], output: Path, when: Callable[[Event], bool], patch: pytest.MonkeyPatch) -> None:
    """Ctrl-C as soon as an event of the round loop is `when`."""
    observe = Teller.observe

    def interrupting(teller: Teller, event: Event) -> None:
        observe(teller, event)
        if when(event):
            raise KeyboardInterrupt

    with patch.context() as context:
        context.setattr(Teller, "observe", interrupting)
        with pytest.raises(KeyboardInterrupt):
            begin(overrides, output)


# (name, the event after which the run is interrupted): steps of a round, and between rounds
MOMENTS = {
    "before the first round is over": lambda e: (
        getattr(e, "exchange", None) is not None and e.exchange.step == "shares"
    ),
    "between two rounds": lambda e: isinstance(e, RoundDone) and e.round == 2,
    "while members train": lambda e: (
        getattr(e, "exchange", None) is not None and (e.exchange.round, e.exchange.step) == (3, "masked")
    ),
    "while members reveal": lambda e: (
        getattr(e, "exchange", None) is not None and (e.exchange.round, e.exchange.step) == (2, "revealed")
    ),
    "while arms are compared": lambda e: isinstance(e, RoundDone) and e.round == 5,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_resumed_run_ends_with_the_same_adapter(
    moment: str,
    overrides: Overrides,
    uninterrupted: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "run"
    interrupt(overrides(), output, MOMENTS[moment], monkeypatch)
    assert f"rengo simulate resume={output}" in capsys.readouterr().err
    edited = (output / "plan.yaml").read_text().replace("rounds: 4", "rounds: 40")
    (output / "plan.yaml").write_text(edited)
    assert cli.main([f"resume={output}", "--json"], "en") == 0
    resumed = summary(output)
    assert plan_digest(output) == uninterrupted["plan_sha256"]
    for key in ("adapter_sha256", "arms", "held_out_loss_by_round", "secure_vs_plain", "trained_tokens"):
        assert resumed[key] == uninterrupted[key], key
    lost = ("dropped_by_step", "threshold_by_round")
    assert [resumed["secagg"][key] for key in lost] == [uninterrupted["secagg"][key] for key in lost]
    set_aside = list(output.glob("members-interrupted-*"))
    assert len(set_aside) == (0 if moment == "while arms are compared" else 1)
    rounds = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in rounds if line["event"] == "round"] == [1, 2, 3, 4, 5]
    assert not any(line["event"] in ("declined", "rejected", "attempt_failed") for line in rounds)


@pytest.mark.parametrize("killed_at", ["a member's key", "metrics.jsonl"])
def test_a_run_that_was_killed_before_its_first_round_begins_anew(
    killed_at: str, overrides: Overrides, uninterrupted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, load_or_create, write_text_whole = tmp_path / "run", table.load_or_create, report.write_text_whole

    def torn_key(path: Path, id: str) -> Any:
        if len(list(output.glob("keys/*"))) < 4:
            return load_or_create(path, id)
        path.write_bytes(b"")  # what a kill between open and write leaves
        raise KeyboardInterrupt

    def no_file(path: Path, text: str) -> None:
        if path.name == killed_at:
            raise KeyboardInterrupt
        write_text_whole(path, text)

    with monkeypatch.context() as context:
        if killed_at == "a member's key":
            context.setattr(table, "load_or_create", torn_key)
        context.setattr(report, "write_text_whole", no_file)
        with pytest.raises(KeyboardInterrupt):
            begin(overrides(), output)
    assert not (output / "metrics.jsonl").exists()
    if killed_at == "metrics.jsonl":
        assert plan_digest(output) == uninterrupted["plan_sha256"]
    assert cli.main([f"resume={output}", "--json"], "en") == 0
    assert plan_digest(output) == uninterrupted["plan_sha256"]
    for key in ("adapter_sha256", "bytes_up_per_member_round"):
        assert summary(output)[key] == uninterrupted[key]


def test_a_finished_run_resumes_to_itself_from_anywhere(
    overrides: Overrides, uninterrupted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    begin(overrides("arms.cache=cache"), output)
    config, cached = (output / "config.yaml").read_text(), list((tmp_path / "cache").iterdir())
    (output / "plan.yaml").unlink()
    monkeypatch.chdir(elsewhere)
    assert cli.main([f"resume={output}", "--json"], "en") == 0
    assert summary(output)["adapter_sha256"] == uninterrupted["adapter_sha256"]
    assert plan_digest(output) == uninterrupted["plan_sha256"]
    assert (output / "config.yaml").read_text() == config
    assert not list(output.glob("members-*"))
    assert (list((tmp_path / "cache").iterdir()), list(elsewhere.iterdir())) == (cached, [])


def test_documents_that_changed_are_noticed(overrides: Overrides, tmp_path: Path, seven_members: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(seven_members, data)
    begin(overrides("rounds=1", f"data={data}"), tmp_path / "run")
    document = next(data.glob("*/*.txt"))
    document.write_bytes(document.read_bytes() + b"\nPS\n")  # in whichever encoding it is
    with pytest.raises(RengoError) as caught:
        cli.main([f"resume={tmp_path / 'run'}"], "en")
    assert caught.value.code == "run-of-other-inputs"


def test_resume_takes_no_other_settings_and_only_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        cli.main([f"resume={tmp_path}", "rounds=3"], "en")
    with pytest.raises(RengoError) as caught:
        cli.main([f"resume={tmp_path}"], "en")
    assert (caught.value.code, caught.value.exit_code) == ("no-such-run", 2)


def test_a_config_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes("job: 試行\n".encode("shift_jis"))
    with pytest.raises(ConfigInvalid, match="is not UTF-8"):
        cli.main([f"resume={tmp_path}"], "en")


@pytest.mark.parametrize("metrics", [None, b"", b"\xff\n", b"{\n", b"[]\n", b"{}\n"], ids=str)
def test_damaged_metrics_are_told_and_nothing_is_touched(
    metrics: bytes | None, overrides: Overrides, tmp_path: Path
) -> None:
    config = load_plan.compose(overrides(), SimulateConfig, "simulate")
    (tmp_path / "config.yaml").write_text(load_plan.to_yaml(config))
    for folder, file in (("coordinator", "round-00002.safetensors"), ("members", "x"), ("keys", "root.key")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).touch()
    if metrics is not None:
        (tmp_path / "metrics.jsonl").write_bytes(metrics)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RengoError) as caught:
        cli.main([f"resume={tmp_path}", "--json"], "en")
    assert (caught.value.code, caught.value.exit_code) == ("metrics-damaged", 10)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.e2e
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_adapter(
    overrides: Overrides, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    """kill -9 of a real process, each time after one more line of metrics, or within a round."""
    rengo = Path(sys.executable).with_name("rengo")
    command = [rengo, "simulate", *overrides(), f"hydra.run.dir={tmp_path / 'run'}", "--json"]
    metrics = tmp_path / "run" / "metrics.jsonl"
    for lines in (2, 3, 5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < lines):
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        command = [rengo, "simulate", f"resume={tmp_path / 'run'}", "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert summary(tmp_path / "run")["adapter_sha256"] == uninterrupted["adapter_sha256"]
