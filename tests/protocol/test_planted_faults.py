"""The suite is worth what it notices: each fault of scripts/faults/planted.py, put into the source, fails a test.

All of them take minutes (`./scripts/test -m slow`, or scripts/planted_faults.py for a table). Every day: each fault
still has its place in the source, and what plants them tells a noticed one from one that is not.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from faults.fault import Fault
from faults.planted import PLANTED, SHAMIR
from planted_faults import ROOT, Tree, planted

LOW_THRESHOLD = "if len(secret) != SECRET_SIZE or not 1 <= threshold <= len(indices):"
HARMLESS = Fault("harmless", SHAMIR, LOW_THRESHOLD, f"{LOW_THRESHOLD}  # ...", ("tests/unit/test_shamir.py",))


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_each_fault_has_its_place_in_the_source_and_tests_that_look_for_it(fault: Fault) -> None:
    source = (ROOT / fault.file).read_text(encoding="utf-8")
    compile(planted(source, fault), fault.file, "exec")
    assert all((ROOT / test.partition("::")[0]).is_file() for test in fault.tests)


def test_faults_are_at_least_twenty_and_all_different() -> None:
    changes = {(fault.file, fault.before, fault.after) for fault in PLANTED}
    assert len({fault.name for fault in PLANTED}) == len(changes) == len(PLANTED) >= 20


def test_a_fault_that_no_test_notices_is_told_from_one_that_is(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    assert not tree.notices(HARMLESS)
    assert tree.notices(replace(HARMLESS, after="if False:"))


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_the_fault_is_noticed(tree: Tree, fault: Fault) -> None:
    assert tree.notices(fault)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("tree"))
