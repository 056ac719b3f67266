"""A wheel, installed into another environment and run from another folder, is the whole product.

The environment gets the wheel alone; its dependencies are borrowed from the one that runs this test, by path, so that
nothing of this checkout is on its way.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.e2e.conftest import SMALL, copy_members

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e


def command(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program and show what it said when it failed."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def rengo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `rengo` program of an environment that has only the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    # From a copy: setuptools leaves build/ and egg-info behind, and a later build or import would take what is stale.
    source = folder / "source"
    for name in ("federation", "clients", "aggregator", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command(sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("rengo-*.whl")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    command(python, "-m", "pip", "install", "--no-deps", "--quiet", wheel, cwd=folder)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    where = command(python, "-c", "import federation; print(federation.__file__)", cwd=folder).stdout
    assert str(site) in where
    return folder / "env" / "bin" / "rengo"


def test_it_simulates_with_its_own_model_and_documents(rengo: Path, tmp_path: Path) -> None:
    command(rengo, "simulate", "experiment=quick", "rounds=1", "--json", cwd=tmp_path)
    (summary,) = tmp_path.glob("outputs/quick-*/summary.json")
    assert json.loads(summary.read_text())["members"] == 30


def test_it_sweeps_beside_a_foreign_conf_folder(rengo: Path, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "__init__.py").write_text("raise SystemExit('the wrong conf')\n")
    data = copy_members(tmp_path / "data", 4)
    command(rengo, "simulate", "-m", *SMALL, f"data={data}", "rounds=1", "lora.r=2,4", cwd=tmp_path)
    summaries = sorted(tmp_path.glob("outputs/sweep-*/*/summary.json"))
    assert len(summaries) == 2


def test_it_answers_a_typo_before_anything_starts(rengo: Path, tmp_path: Path) -> None:
    done = subprocess.run([rengo, "simulate", "lora.rank=8"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "lora.r" in done.stderr
    assert list(tmp_path.iterdir()) == []
