"""What `rengo coordinator start` keeps of a job whose rounds end, and of one that stops."""

import contextlib
import json
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from aggregator import rounds
from aggregator.serving import run_rounds
from federation import step, tensors
from federation.commands import Printer
from federation.errors import JobStopped
from tests.protocol.consortium import Consortium, Losing, Lost, make_consortium

NO_PAUSES = rounds.Control()
MOST = ("m00", "m01")  # of five, t = 4: without these two nothing goes on


def silent(round: int) -> dict[tuple[int, str, str], Lost]:
    return {(round, step, name): "request" for step in ("keys", "masked") for name in MOST}


def served(
    consortium: Consortium,
    lost: dict[tuple[int, str, str], Lost],
    target: Path,
    control: rounds.Control = NO_PAUSES,
) -> None:
    store = consortium.store()
    try:
        carrier = Losing(consortium, lost)
        printer = Printer("en", as_json=True)
        run_rounds(consortium.job, carrier, store, target, consortium.events.append, printer, control)
    finally:
        store.close()


def exported(target: Path) -> bytes:
    """The adapter's digest, from the file that peft would load."""
    named = load_file(target / "adapter_model.safetensors")
    return tensors.digest(
        {name.removeprefix("base_model.model.").removesuffix(".weight"): a for name, a in named.items()}
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The final adapter of the usual job."""
    consortium = make_consortium(tmp_path_factory.mktemp("whole"))
    state = consortium.run()
    return tensors.digest(step.scheme_of(consortium.plan).export(state))


def test_a_job_that_ends_is_exported(tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    served(make_consortium(tmp_path), {}, tmp_path / "adapter")
    assert exported(tmp_path / "adapter") == whole
    assert json.loads(capsys.readouterr().out)["event"] == "done"


def test_a_job_that_is_done_has_its_final_state_and_one_that_is_not_has_none(tmp_path: Path, whole: bytes) -> None:
    consortium = make_consortium(tmp_path)
    with contextlib.closing(consortium.store()) as store:
        assert rounds.finished(consortium.job, store) is None
    with pytest.raises(JobStopped):
        served(consortium, silent(3), tmp_path / "adapter")  # only its measurement is missing
    with contextlib.closing(consortium.store()) as store:
        assert rounds.finished(consortium.job, store) is None
    consortium.run()
    with contextlib.closing(consortium.store()) as store:
        state = rounds.finished(consortium.job, store)
    assert state is not None
    assert tensors.digest(step.scheme_of(consortium.plan).export(state)) == whole


def test_the_final_adapter_is_exported_although_only_its_measurement_failed(
    tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(JobStopped):
        served(make_consortium(tmp_path), silent(3), tmp_path / "adapter")
    assert exported(tmp_path / "adapter") == whole
    said = json.loads(capsys.readouterr().out)
    assert (said["event"], said["path"]) == ("unmeasured", str(tmp_path / "adapter"))


def test_a_job_that_stops_before_its_last_round_exports_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(JobStopped):
        served(make_consortium(tmp_path), silent(2), tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
    assert capsys.readouterr().out == ""


def test_attempts_have_the_pauses_that_were_given_between_them(tmp_path: Path) -> None:
    consortium = make_consortium(tmp_path)
    began = time.monotonic()
    with pytest.raises(JobStopped):
        served(consortium, silent(1), tmp_path / "adapter", rounds.Control(pauses=(0.2, 0.5)))
    assert consortium.plan.secagg.attempts == 3
    assert [event.pause for event in consortium.failed] == [0.2, 0.5, None]
    assert time.monotonic() - began >= 0.7
