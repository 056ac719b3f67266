"""The walls of docs/architecture.md hold, and the check would notice if they did not.

Runs import-linter on the tree, then on copies with one forbidden import planted each: every copy has to fail.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("federation", "clients", "aggregator")

# (where it is planted, what it says, which wall it breaks)
PLANTED = (
    ("aggregator/planted.py", "import clients.member", "a second door from the coordinator to the members"),
    ("clients/planted.py", "import aggregator.rounds", "a door from a member to the coordinator"),
    ("federation/planted.py", "import clients", "federation knows a side"),
    ("federation/secagg/planted.py", "import time", "a clock in the protocol"),
    ("aggregator/planted.py", "import torch", "torch at the coordinator"),
    ("clients/planted.py", "import torch", "torch outside the trainer"),
    ("clients/planted.py", "import omegaconf", "Hydra outside load_plan"),
)


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict on a tree; its own cache is left alone."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False)


def copy_of_tree(target: Path) -> None:
    """The packages and the contracts, without data."""
    shutil.copy(ROOT / "pyproject.toml", target)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("demo", "__pycache__"))


def main() -> int:
    """0 when the walls stand and every planted import is found."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_of_tree(tree)
        clean = lint(tree)
        if clean.returncode:
            print(clean.stdout, clean.stderr, sep="\n")
            return 1
        for place, statement, wall in PLANTED:
            planted = tree / place
            planted.write_text(f"{statement}\n", encoding="utf-8")
            found = lint(tree)
            planted.unlink()
            if found.returncode == 0 or "BROKEN" not in found.stdout:
                print(f"check_walls: `{statement}` in {place} was not noticed ({wall})")
                print(found.stdout, found.stderr, sep="\n")
                return 1
    print(f"check_walls: the walls stand; {len(PLANTED)} planted imports were noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
