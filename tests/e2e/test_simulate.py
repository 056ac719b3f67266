"""`rengo simulate` from its command line to its results, in this process: what a researcher relies on."""

import json
import resource
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from aggregator.simulate import cli
from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.probes import OURS
from aggregator.simulate.questions import GENERAL, QUESTIONS
from aggregator.simulate.table import DEMO_BASE
from clients.dataset import read_parts
from federation import base_model, load_plan
from federation.errors import RengoError
from federation.plan import Evaluation
from federation.sweep import SweepFailed
from tests.e2e.conftest import SMALL, copy_members

Overrides = Callable[..., Sequence[str]]


def run(overrides: Sequence[str], output: Path) -> dict[str, Any]:
    """One job into `output`; its summary."""
    config = load_plan.compose(overrides, SimulateConfig, "simulate")
    cli.begin(config, output, language="en", as_json=True)
    return json.loads((output / "summary.json").read_text())


@pytest.fixture(scope="module")
def finished(overrides: Overrides, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run whose members drop out on the seeded schedule, and its summary."""
    output = tmp_path_factory.mktemp("run") / "outputs"
    output.mkdir()
    return output, run(overrides(), output)


def test_base_and_adapter_are_asked_a_user_s_own_questions(
    finished: tuple[Path, dict[str, Any]], overrides: Overrides, tmp_path: Path
) -> None:
    own, output = tmp_path / "own", tmp_path / "run"
    own.mkdir()
    output.mkdir()
    lines = (OURS / QUESTIONS).read_text(encoding="utf-8").splitlines()[:4]
    (own / QUESTIONS).write_text("\n".join(lines), encoding="utf-8")
    (own / GENERAL).write_text("朝、窓を開ける。\n\n犬が歩く。雨が降る。", encoding="utf-8")
    summary = run([*overrides(), f"probes.path={own}", "probes.questions=true", "probes.general=true"], output)
    found = summary["probes"]
    assert found["questions"]["items"] == 4
    assert found["questions"]["base"]["bits_per_character"] != found["questions"]["federated"]["bits_per_character"]
    assert found["general"]["paragraphs"] == 2
    assert found["general"]["F_minus_B"]["mean"] != 0
    asked = json.loads((output / "probes.json").read_text(encoding="utf-8"))["questions"]
    assert [each["id"] for each in asked] == ["spindle-1", "spindle-2", "spindle-3", "oils-1"]
    assert {"written", "chosen", "nats"} == asked[0]["federated"].keys()
    assert summary["plan_sha256"] == finished[1]["plan_sha256"]
    assert summary["adapter_sha256"] == finished[1]["adapter_sha256"]


class TestWhatARunLeavesBehind:
    def test_members_were_lost_at_each_of_the_five_steps_and_every_round_completed(self, finished: Any) -> None:
        output, summary = finished
        assert set(summary["secagg"]["dropped_by_step"]) == {"keys", "shares", "masked", "agreed", "revealed"}
        assert min(summary["secagg"]["dropped_by_step"].values()) >= 1
        assert summary["secagg"]["threshold_by_round"] == [5] * 5
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
        assert [line["round"] for line in lines if line["event"] == "round"] == [1, 2, 3, 4, 5]
        assert [line for line in lines if line["event"] not in ("start", "round")] == []

    def test_the_secure_mean_is_the_plain_mean(self, finished: Any) -> None:
        difference = finished[1]["secure_vs_plain"]
        assert 0 < difference["relative_l2"] <= 1e-2
        assert 0 < difference["max_quantisation_steps"] <= 2

    def test_both_arms_are_listed_by_member_and_training_helped(self, finished: Any) -> None:
        arms = finished[1]["arms"]
        assert len(arms["base"]) == len(arms["federated"]) == finished[1]["members"] == 7
        assert np.mean(arms["federated"]) < np.mean(arms["base"])

    def test_the_promised_figures_are_there(self, finished: Any) -> None:
        _, summary = finished
        assert summary["rounds"] == 4
        assert summary["scheme"] == "fedit"
        assert summary["secagg"]["ring_bits"] == 16
        assert summary["secagg"]["threshold"] == 5
        assert summary["bytes_up_per_member_round"] > 2 * summary["values_per_upload"] * 0.7
        assert set(summary["seconds"]) == {"train", "secagg", "eval", "arms", "probes", "total"}
        assert 0 < summary["peak_rss_mb"] < 3000
        assert len(bytes.fromhex(summary["adapter_sha256"])) == 32

    def test_the_plan_is_written_whole_and_reads_back(self, finished: Any) -> None:
        output, summary = finished
        text = (output / "plan.yaml").read_text()
        assert summary["plan_sha256"] in text.splitlines()[0]
        assert "sha256: " + summary["model"]["sha256"] in text

    def test_the_plot_is_a_picture(self, finished: Any) -> None:
        assert (finished[0] / "curves.png").read_bytes().startswith(b"\x89PNG")

    def test_a_crash_would_leave_no_core_dump(self, finished: Any) -> None:
        assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0

    def test_each_member_has_its_own_private_journal(self, finished: Any) -> None:
        journals = list((finished[0] / "members").glob("*/journal.sqlite"))
        assert len(journals) == 7
        keys = list((finished[0] / "keys").glob("*.key"))
        assert len(keys) == 9
        assert {file.stat().st_mode & 0o777 for file in journals + keys} == {0o600}


def test_the_adapter_gives_the_same_loss_with_peft_and_transformers_alone(finished: Any, seven_members: Path) -> None:
    """Document by document, without packing and without any of our training code."""
    output, summary = finished
    base = AutoModelForCausalLM.from_pretrained(DEMO_BASE, dtype=torch.bfloat16)
    model = PeftModel.from_pretrained(base, output / "adapter").eval()
    tokenizer = AutoTokenizer.from_pretrained(DEMO_BASE)
    member = summary["member_ids"][0]
    folder = seven_members / member
    test = read_parts(folder, Evaluation(1, 64, 0.1, 0.1)).test
    nats, tokens = 0.0, 0
    for document in test:
        ids = [tokenizer.bos_token_id, *tokenizer(document.text, add_special_tokens=False)["input_ids"]]
        ids.append(tokenizer.eos_token_id)
        # The trainer cuts text into blocks of 64 that do not see each other; so does this.
        for start in range(0, len(ids), 64):
            window = torch.tensor([ids[start : start + 65]])
            if window.shape[1] > 1:
                with torch.inference_mode():
                    logits = model(input_ids=window[:, :-1]).logits.float()
                nats += float(torch.nn.functional.cross_entropy(logits[0], window[0, 1:], reduction="sum"))
                tokens += window.shape[1] - 1
    assert len(test) == 1  # blocks then begin where the document does
    assert nats / tokens == pytest.approx(summary["arms"]["federated"][0], abs=2e-3)


def test_every_figure_is_the_same_however_many_members_train_at_once(overrides: Overrides, tmp_path: Path) -> None:
    found = []
    for workers in (1, 3):
        output = tmp_path / str(workers)
        output.mkdir()
        arms = ("arms=default", "arms.plain=true", "arms.personalised_rounds=1")
        summary = run(overrides("rounds=2", *arms, f"workers={workers}"), output)
        summary = {key: value for key, value in summary.items() if key not in ("seconds", "peak_rss_mb")}
        rounds = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
        told = [{key: value for key, value in line.items() if not key.endswith("seconds")} for line in rounds]
        files = [(output / name).read_bytes() for name in ("plan.yaml", "arms.json", "curves.png", "members.png")]
        found.append((json.dumps(summary), json.dumps(told), files))
    assert found[0] == found[1]


def test_a_job_that_diverges_does_not_stop_a_sweep(
    overrides: Overrides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rates = ("rounds=1", "train.optimizer.learning_rate=1e30,2e-3", "hydra.sweep.dir=sweep")
    with pytest.raises(SweepFailed, match="1 of 2 jobs failed") as caught:
        cli.main(["-m", *overrides(*rates), "--json"], "en")
    [(job, failure)] = caught.value.failures
    assert "learning_rate=1e+30" in job
    assert (failure.code, caught.value.exit_code) == ("job-stopped", 9)
    assert "Has training diverged?" in failure.text("en")
    assert [path.parent.name for path in (tmp_path / "sweep").glob("*/summary.json")] == ["1"]


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(
    finished: Any, overrides: Overrides, tmp_path: Path
) -> None:
    again = run(overrides(), tmp_path)
    assert again["adapter_sha256"] == finished[1]["adapter_sha256"]
    (tmp_path / "other").mkdir()
    other = run(overrides("seed=2", "rounds=1"), tmp_path / "other")
    assert other["adapter_sha256"] != again["adapter_sha256"]


def test_a_ring_of_32_bits_gives_nearly_the_same_adapter(finished: Any, overrides: Overrides, tmp_path: Path) -> None:
    summary = run(overrides("secagg=ring32"), tmp_path)
    assert summary["secure_vs_plain"]["relative_l2"] < 1e-5
    assert summary["secure_vs_plain"]["max_quantisation_steps"] <= 2
    wide, narrow = (np.mean(s["arms"]["federated"]) for s in (summary, finished[1]))
    assert wide == pytest.approx(narrow, abs=0.02)


def test_neighbours_give_the_same_adapter_as_everybody_with_everybody(tmp_path: Path) -> None:
    """With the same members lost at the same steps: whose masks hide a vector is nothing to its sum."""
    data, found = copy_members(tmp_path / "data", 8, documents=3), {}
    neighbours = ("secagg=k_regular", "secagg.corruption_rate=0", "secagg.dropout_rate=0.25")
    for name, secagg in {"neighbours": neighbours, "everybody": ("secagg=ring32",)}.items():
        (tmp_path / name).mkdir()
        found[name] = run([*SMALL, f"data={data}", "dropouts.each_round=1", "rounds=2", *secagg], tmp_path / name)
    sparse, dense = (found[name]["secagg"] for name in ("neighbours", "everybody"))
    assert (sparse["neighbourhoods"]["degree"], sparse["threshold"], dense["threshold"]) == (6, 5, 6)
    assert sparse["dropped_by_step"] == dense["dropped_by_step"]
    assert sum(sparse["dropped_by_step"].values()) == 3
    assert found["neighbours"]["plan_sha256"] != found["everybody"]["plan_sha256"]
    assert found["neighbours"]["adapter_sha256"] == found["everybody"]["adapter_sha256"]


class TestErrorsComeBeforeAnyTraining:
    def refused(self, overrides: Sequence[str], tmp_path: Path) -> RengoError:
        output = tmp_path / "refused"
        output.mkdir()
        with pytest.raises(RengoError) as caught:
            run(overrides, output)
        assert not list(output.iterdir())
        return caught.value

    def test_a_folder_that_is_no_model(self, overrides: Overrides, tmp_path: Path) -> None:
        error = self.refused(overrides(f"model={tmp_path}"), tmp_path)
        assert (error.code, error.exit_code) == ("model-folder-invalid", 3)
        assert str(tmp_path) in str(error)

    def test_a_model_that_is_not_the_pinned_one(self, overrides: Overrides, tmp_path: Path) -> None:
        error = self.refused(overrides(f"model.sha256={'0' * 64}"), tmp_path)
        assert (error.code, error.exit_code) == ("model-mismatch", 3)
        assert error.facts["actual"] == base_model.digest(DEMO_BASE)

    def test_a_family_whose_code_transformers_does_not_have(self, overrides: Overrides, tmp_path: Path) -> None:
        model = Path(shutil.copytree(DEMO_BASE, tmp_path / "plamo"))
        (model / "modeling_plamo.py").write_text("raise SystemExit")
        error = self.refused(overrides("model=plamo", f"model.path={model}"), tmp_path)
        assert (error.code, error.exit_code) == ("model-folder-invalid", 3)
        assert "modeling_plamo.py" in str(error)

    def test_a_lora_target_that_the_model_lacks(self, overrides: Overrides, tmp_path: Path) -> None:
        error = self.refused(overrides("lora.targets=[q_proj,qkv_proj]"), tmp_path)
        assert (error.code, error.exit_code) == ("unknown-lora-target", 3)
        assert "qkv_proj" in str(error)
        assert "down_proj" in str(error)

    def test_an_empty_data_folder(self, overrides: Overrides, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        error = self.refused(overrides(f"data={tmp_path / 'data'}"), tmp_path)
        assert (error.code, error.exit_code) == ("data-folder-invalid", 8)

    def test_a_member_whose_folder_is_empty(self, overrides: Overrides, seven_members: Path, tmp_path: Path) -> None:
        shutil.copytree(seven_members, tmp_path / "data")
        (tmp_path / "data" / "株式会社 空").mkdir()
        error = self.refused(overrides(f"data={tmp_path / 'data'}"), tmp_path)
        assert error.code == "data-folder-invalid"
        assert "株式会社 空" in str(error)

    def test_more_drop_outs_than_the_threshold_leaves_room_for(self, overrides: Overrides, tmp_path: Path) -> None:
        error = self.refused(overrides("dropouts.each_round=2"), tmp_path)
        assert error.exit_code == 2


def test_files_that_are_not_used_are_named_and_counted(
    overrides: Overrides, seven_members: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(seven_members, tmp_path / "data")
    member = sorted(folder.name for folder in seven_members.iterdir())[0]
    (tmp_path / "data" / member / "日報.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "run").mkdir()
    summary = run(overrides(f"data={tmp_path / 'data'}", "rounds=1"), tmp_path / "run")
    assert summary["documents"][member] == {"used": 5, "set_aside": 1}
    assert "日報.xlsx" in capsys.readouterr().out
