"""A member as three programs on loopback, started as its systemd units start them: service, node, flower-superexec.

The coordinator here is the real round loop over Flower, with one of three members there: it asks for keys, gets this
member's, and gives up because two are missing. That is every hop there and back.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from aggregator import rounds, tls
from aggregator.carriers.flower import Flower, Servers
from aggregator.exchange import Answered
from aggregator.planning import layers, make_plan
from aggregator.store import Store
from clients.home import Approval, Home, Settings, now, write
from clients.journal import Journal
from clients.node_process import QUIET
from federation.errors import JobStopped
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster
from federation.plan import Plan
from federation.registry import APPROVED
from tests.e2e.conftest import copy_members

pytestmark = pytest.mark.e2e
ME = "toyo-kikai"
SMALL = (
    *("job=apart", "model.threads=1", "secagg.attempts=1", "train.sequence_length=64"),
    *("train.tokens_per_round=128", "train.tokens_per_step=64", "evaluation.tokens=64"),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def approved_home(path: Path, data: Path, roster: SignedRoster, root: bytes, authority: bytes, plan: Plan) -> Home:
    """A member's folder as `join` and `approve` leave it."""
    home = Home(path)
    Journal(home.file("journal.sqlite")).close()
    home.create(Settings(ME, "https://127.0.0.1:1", str(data), "demo"), root, authority.decode())
    digests = plan.digest().hex(), roster.roster.digest().hex()
    home.approve(roster, plan, Approval(now(), APPROVED, *digests, "sato", "suzuki", ""))
    return home


@contextlib.contextmanager
def running(name: str, *words: object, folder: Path) -> Iterator[None]:
    """A program of this environment, until the block ends; its output is in `folder`/NAME.log."""
    programs = Path(sys.executable).parent
    own = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "FLWR_HOME": str(folder / name)}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([str(word) for word in words], env=own | QUIET, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def wait_for(what: Path) -> None:
    until = time.monotonic() + 180
    while not what.exists():
        assert time.monotonic() < until, f"{what} does not appear"
        time.sleep(0.5)


def test_service_node_and_app_answer_as_three_programs(tmp_path: Path) -> None:
    coordinator, root, member = (Identity.create(id) for id in (COORDINATOR, "root", ME))
    missing = [Identity.create(f"missing-{i}") for i in range(2)]
    entries = sorted((RosterEntry(i.id, i.id, i.public_key) for i in (member, *missing)), key=lambda e: e.id)
    signed = SignedRoster.sign(Roster("apart", 1, coordinator.public_key, tuple(entries)), root)
    plan, shapes = make_plan(SMALL, signed.roster)
    authority_key, authority = tls.make_authority("apart")
    server_key, server = tls.make_server(authority_key, authority, ["127.0.0.1"])
    for name, data in {"ca.pem": authority, "server.pem": server, "server.key": server_key}.items():
        write(tmp_path / name, data)

    (data,) = copy_members(tmp_path / "data", 1).iterdir()
    home = approved_home(tmp_path / "home", data, signed, root.public_key, authority, plan)
    carrier_port, node_port = free_port(), free_port()
    home.keep_carrier(f"127.0.0.1:{carrier_port}")
    write(home.file("keys/member.key"), member.private_bytes())
    # What systemd hands to the node as credentials, and the folder that both sides of the door may use.
    node_key = ec.generate_private_key(ec.SECP384R1())
    write(tmp_path / "files/node.key", node_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    write(tmp_path / "files/ca.pem", authority)
    write(tmp_path / "files/carrier", home.carrier().encode())
    run, state = tmp_path / "run", tmp_path / "state"
    run.mkdir()

    servers = Servers("127.0.0.1", carrier_port, *(tmp_path / n for n in ("server.pem", "server.key", "ca.pem")))
    public = node_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    carrier = Flower(servers, {ME: public}, tmp_path / "flower")
    store = Store(tmp_path / "job", plan.digest())
    rengo, superexec = (Path(sys.executable).with_name(name) for name in ("rengo", "flower-superexec"))
    node = ("--files", tmp_path / "files", "--run-folder", run, "--state", state, "--port", node_port)
    secret = ("--superexec-auth-secret-file", state / "superexec.key")
    app = (superexec, "--insecure", "--runtime-api-address", f"127.0.0.1:{node_port}", *secret)
    events: list[rounds.Event] = []
    with contextlib.ExitStack() as programs:
        programs.callback(store.close)
        programs.callback(carrier.close)
        carrier.online()  # the SuperLink knows the node's key before the node calls
        serve = (rengo, "member", "serve", "--home", home.path, "--run-folder", run)
        programs.enter_context(running("service", *serve, folder=tmp_path))
        programs.enter_context(running("node", rengo, "member", "node", *node, folder=tmp_path))
        wait_for(state / "superexec.key")
        programs.enter_context(running("app", *app, folder=tmp_path))
        wait_for(run / "member.sock")
        until = time.monotonic() + 180
        while carrier.online() != {ME}:
            assert time.monotonic() < until, (tmp_path / "node.log").read_text()
            time.sleep(1)
        job = rounds.Job(plan, signed.roster, coordinator, layers(plan, shapes))
        with pytest.raises(JobStopped):
            rounds.run(job, carrier, store, events.append)
    assert [(e.exchange.step, e.member) for e in events if isinstance(e, Answered)] == [("keys", ME)]
    assert "Start `flwr-clientapp`" in (tmp_path / "app.log").read_text()
    assert "flwr-clientapp" not in (tmp_path / "node.log").read_text()
