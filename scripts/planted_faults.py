"""Plant each fault of scripts/faults/planted.py in a copy of the source and run the tests that have to notice it.

python scripts/planted_faults.py                     all: some minutes; ends with 1 if one was not noticed
python scripts/planted_faults.py "wrong sign"        those whose name begins so
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from faults.fault import Fault
from faults.planted import PLANTED

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("federation", "clients", "aggregator", "conf", "docs", "scripts", "tests")
PASSED, FAILED = 0, 1


class Tree:
    """A copy of the source in which faults are planted, one at a time. `last`: what pytest printed last."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.last = folder, ""
        leave = shutil.ignore_patterns("__pycache__", "flower", ".hypothesis")
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=leave)
        shutil.copy(ROOT / "pyproject.toml", folder)

    def run(self, tests: Sequence[str]) -> int:
        """pytest's exit code."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False)
        self.last = done.stdout + done.stderr
        if done.returncode not in (PASSED, FAILED):
            raise RuntimeError(f"the tests could not be run:\n{self.last}")
        return done.returncode

    def notices(self, fault: Fault) -> bool:
        """Whether one of the fault's tests fails while it is planted."""
        path = self._folder / fault.file
        sound = path.read_text(encoding="utf-8")
        path.write_text(planted(sound, fault), encoding="utf-8")
        try:
            return self.run(fault.tests) == FAILED
        finally:
            path.write_text(sound, encoding="utf-8")


def planted(source: str, fault: Fault) -> str:
    """The source with the fault in it. Raises ValueError unless the place is there, once."""
    if source.count(fault.before) != 1:
        raise ValueError(f"{fault.name}: what is to be replaced occurs {source.count(fault.before)} times")
    return source.replace(fault.before, fault.after)


def main() -> int:
    faults = [fault for fault in PLANTED if fault.name.startswith(tuple(sys.argv[1:] or [""]))]
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder))
        if tree.run(sorted({test for fault in faults for test in fault.tests})) == FAILED:
            print(f"the tests fail without any fault:\n{tree.last}")
            return 1
        survived = []
        for fault in faults:
            noticed = tree.notices(fault)
            survived += [] if noticed else [fault]
            print(f"{'noticed ' if noticed else 'SURVIVED'}  {fault.name:45} {fault.file}", flush=True)
    print(f"{len(faults) - len(survived)} of {len(faults)} faults noticed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
