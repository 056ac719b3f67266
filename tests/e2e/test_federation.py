"""A whole federation between real programs, from the first invitation to an adapter that stock peft loads."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from aggregator import rounds
from aggregator.carriers.in_process import InProcess
from aggregator.export import write_peft
from aggregator.planning import layers, read_plan, shapes_from_json
from aggregator.registry import Registry
from aggregator.serving import open_registry
from aggregator.simulate.table import DEMO_BASE
from aggregator.store import Store
from clients.journal import Journal
from clients.service import make_member
from federation.plan import Plan
from tests.e2e.conftest import Trained
from tests.e2e.sites import rengo, succeeds

pytestmark = pytest.mark.e2e

ADAPTER = "adapter_model.safetensors"


def adapter_of(trained: Trained) -> Path:
    return trained.consortium.home / "jobs" / "trial" / "adapter"


@pytest.mark.scenario(1)
def test_two_rounds_between_sites_give_an_adapter_that_stock_peft_loads(trained: Trained) -> None:
    said = trained.coordinator.text()
    assert "round 1/2 done: 4 of 4 members in the sum" in said
    assert "round 2/2 done: 4 of 4 members in the sum" in said
    assert "refused" not in said
    assert "not usable" not in said
    weights = (adapter_of(trained) / ADAPTER).read_bytes()
    assert hashlib.sha256(weights).hexdigest() in said
    ids = AutoTokenizer.from_pretrained(DEMO_BASE)("設備の点検手順", return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(DEMO_BASE)
    with torch.no_grad():
        before = model(ids).logits
        after = PeftModel.from_pretrained(model, adapter_of(trained))(ids).logits
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


@pytest.mark.scenario(11)
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_members_without_a_gpu_complete_their_rounds(trained: Trained) -> None:
    assert read_plan(trained.plan).model.device == "cpu"
    for name, program in trained.members.items():
        assert program.process.wait(60) == 0, program.text()
        assert "ready for job trial" in program.text()
        assert f"{name}: stopped" in program.text()


def test_the_same_plan_in_one_process_gives_the_same_adapter(trained: Trained, tmp_path: Path) -> None:
    """The same code with the same data; other journals, another carrier. Keys and masks differ, the sum does not."""
    plan, consortium = read_plan(trained.plan), trained.consortium
    journals = {name: Journal(tmp_path / name / "journal.sqlite") for name in consortium.names}
    handlers = {}
    for name in consortium.names:
        site = consortium.site(name)
        member, _ = make_member(site, site.identity(), journals[name], "in-process", "")
        handlers[name] = member.handle
    registry = open_registry(consortium.coordinator)
    job = rounds.Job(plan, registry.roster().roster, consortium.coordinator.identity(), shapes_of(registry, plan))
    registry.close()
    store = Store(tmp_path / "store", plan.digest())
    state = rounds.run(job, InProcess(handlers), store, lambda _: None)
    for each in (store, *journals.values()):
        each.close()
    in_process = write_peft(tmp_path / "adapter", plan, state)
    assert in_process == hashlib.sha256((adapter_of(trained) / ADAPTER).read_bytes()).hexdigest()


def shapes_of(registry: Registry, plan: Plan) -> dict[str, tuple[int, int]]:
    text = registry.model(plan.model.sha256)
    assert text is not None
    return layers(plan, shapes_from_json(text))


def test_what_left_a_site_is_in_its_journal(trained: Trained) -> None:
    plan, host = read_plan(trained.plan), f"127.0.0.1:{trained.consortium.carrier_port}"
    for name in trained.consortium.names:
        journal = Journal(trained.consortium.site(name).file("journal.sqlite"))
        sent = [row for row in journal.sent() if row.job]  # of rounds; calls of the registry are there too
        journal.close()
        assert {(row[1], row[3]) for row in sent} == {("trial", host)}
        kinds = [kind for row in sent for kind in row[2].split()]
        assert kinds.count("masked") == kinds.count("revealed") == plan.rounds + 1
        assert "refused" not in kinds


def test_no_site_says_anything_of_a_round_while_no_plan_is_approved(trained: Trained) -> None:
    """The sites' own records of who approved come before the first frame."""
    for name in trained.consortium.names:
        site = trained.consortium.site(name)
        journal = Journal(site.file("journal.sqlite"))
        first = next(row.utc for row in journal.sent() if row.job)
        journal.close()
        [approval] = site.approvals()
        assert approval.plan == site.plan().digest().hex()
        assert approval.utc[:19] <= first[:19]


def test_a_backup_of_a_running_coordinator_is_restored_whole(trained: Trained, tmp_path: Path) -> None:
    home = tmp_path / "restored"
    restored = succeeds("coordinator", "restore", trained.consortium.folder / "backup", "--home", home)
    assert (restored["jobs"], restored["keys"]) == ({"trial": 0}, False)
    assert (home / "jobs" / "trial" / "paused").exists()
    for name in ("coordinator.key", "authority.key", "tls.key"):
        shutil.copy(trained.consortium.home / "keys" / name, home / "keys" / name)
    assert members_of(home) == members_of(trained.consortium.home)


def members_of(home: Path) -> list[tuple[str, ...]]:
    found = succeeds("coordinator", "members", "--home", home)["members"]
    return [(member["id"], member["state"], member["fingerprint"]) for member in found]


def test_status_tells_the_end_of_a_job_and_of_a_member(trained: Trained) -> None:
    assert (trained.ended["phase"], trained.ended["rounds"]) == ("done", 2)
    assert sorted(trained.ended["survivors"]) == list(trained.consortium.names)
    assert succeeds("coordinator", "status", "--home", trained.consortium.home)["phase"] == "serving"
    stopped = rengo("member", "status", "--home", trained.consortium.folder / trained.consortium.names[0])
    assert stopped.code == 9
    assert json.loads(stopped.out)["phase"] == "stopped"


class TestNetwork:
    """No program contacts anything but the coordinator: no telemetry, no update check, no download."""

    def test_no_program_connects_to_anything_but_the_coordinator_and_its_own_parts(self, trained: Trained) -> None:
        consortium = trained.consortium
        ours = {consortium.registry_port, consortium.carrier_port}
        for command, what, where in trained.watch.events():
            if what == "connect" and where.startswith("("):
                # No match is a failure of the test, and says so.
                host, port = re.match(r"\('([^']*)', (\d+)", where).groups()  # type: ignore[union-attr]
                assert host == "127.0.0.1", (command, where)
                # A node's own processes talk to it on the local port that `member start` gave it, and the SuperLink's
                # on the one that the carrier gave it.
                assert int(port) in ours | node_ports(trained) | superlink_ports(trained), (command, where)
            elif what == "resolve":
                assert where in ("127.0.0.1", "localhost", "None"), (command, where)
            elif what == "sendto":
                raise AssertionError((command, where))

    def test_the_kernel_saw_no_other_connection(self, trained: Trained) -> None:
        remotes = {remote.rpartition(":")[0] for _, remote in trained.watch.seen}
        assert remotes == {"127.0.0.1"}

    def test_members_connect_to_two_ports_of_the_coordinator_and_no_other_host(self, trained: Trained) -> None:
        """Each member's registry calls, and its node's; what is seen is what was meant to be seen."""
        consortium, seen = trained.consortium, trained.watch.events()
        for name in consortium.names:
            ports = {
                where
                for command, what, where in seen
                if what == "connect" and str(consortium.folder / name) in command and "127.0.0.1" in where
            }
            assert f"('127.0.0.1', {consortium.registry_port})" in ports
            assert f"('127.0.0.1', {consortium.carrier_port})" in ports

    def test_nothing_is_installed_and_nothing_but_our_programs_is_started(self, trained: Trained) -> None:
        programs = {first_word(where) for _, what, where in trained.watch.events() if what == "start"}
        assert programs
        assert programs <= {
            *("uname", "file"),  # Python's own `platform` asks them what machine this is
            "python",
            "flwr",
            "flower-superlink",
            "flower-superexec",
            "flwr-serverapp",
            "flwr-clientapp",
        }

    def test_the_watch_would_have_seen_a_call_home(self, trained: Trained) -> None:
        """The same watch over a program that does connect elsewhere."""
        call = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
        subprocess.run([sys.executable, "-c", call], env=trained.watch.environment, check=True)
        assert any(where == "('127.0.0.1', 9)" and call in command for command, _, where in trained.watch.events())


def node_ports(trained: Trained) -> set[int]:
    """The local ports of the sites' nodes: the last word of clients/relay/node.py's command line."""
    events = trained.watch.events()
    commands = [where for _, what, where in events if what == "start" and "clients.relay.node" in where]
    return {int(command.split()[-1]) for command in commands}


def superlink_ports(trained: Trained) -> set[int]:
    """The local ports of SuperLinks: the third word behind the program's name in aggregator/carriers/superlink.py."""
    program = "aggregator.carriers.superlink "
    commands = [where for _, what, where in trained.watch.events() if what == "start" and program in where]
    return {int(command.partition(program)[2].split()[2]) for command in commands}


def first_word(command: str) -> str:
    return re.sub(r"[0-9.]+$", "", Path(command.split()[0]).name)
