"""A SuperLink that is killed within an exchange: it is started again, nodes come back, and the job ends with the
adapter that it would have had.

SuperLink, nodes and relays are Flower's and ours, each a process of its own; members are real but for their training,
which is the small one of the protocol's tests, so that seconds are Flower's.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from aggregator.carriers import Exchange
from aggregator.carriers.flower import Flower, Servers
from aggregator.rounds import run
from clients.home import Home
from clients.node_process import Node, NodeProcess
from clients.service import Service
from tests.e2e.sites import PATIENCE, free_ports, server_files, wait_until
from tests.protocol.consortium import Consortium, digest, make_consortium

pytestmark = pytest.mark.e2e
COUNT = 3
LARGEST = 1 << 20


class Killing:
    """The carrier; the SuperLink is killed as the first answer of the exchange `at` arrives."""

    def __init__(self, flower: Flower, at: Exchange) -> None:
        self._flower, self._at = flower, at
        self.exchanges: list[tuple[Exchange, float]] = []
        self.killed: list[int] = []

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        began = time.monotonic()
        for member, answer in self._flower.exchange(exchange, requests):
            if exchange == self._at and not self.killed:
                assert self._flower._superlink is not None
                self.killed.append(self._flower._superlink.pid)
                os.kill(self.killed[0], signal.SIGKILL)
            yield member, answer
        self.exchanges.append((exchange, time.monotonic() - began))


@contextlib.contextmanager
def sites(consortium: Consortium, folder: Path) -> Iterator[Flower]:
    """Members' services, their nodes, and the carrier to which all of them are connected."""
    files = server_files(folder)
    port, *ports = free_ports(1 + COUNT)
    keys, services, nodes = {}, [], []
    for name, own_port in zip(consortium.names, ports, strict=True):
        home = folder / name
        home.mkdir()
        node_key = ec.generate_private_key(ec.SECP384R1())
        (home / "node.key").write_bytes(node_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        keys[name] = node_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        service = Service(Home(home), consortium.members[name].handle, LARGEST, consortium.plan.job)
        services.append(service)
        door = service.address, service.key_file
        nodes.append(Node(f"127.0.0.1:{port}", files[2], home / "node.key", *door, home / "flower", own_port))
    carrier = Flower(Servers("127.0.0.1", port, *files), keys, folder / "coordinator")
    running: list[NodeProcess] = []
    try:
        assert carrier.online() == set()
        running += [NodeProcess(node) for node in nodes]
        wait_until(lambda: carrier.online() == set(consortium.names), "all nodes are connected")
        yield carrier
    finally:
        for node in running:
            node.stop()
        carrier.close()
        for service in services:
            service.close()


def test_the_job_ends_with_the_adapter_that_it_would_have_had(tmp_path: Path) -> None:
    consortium = make_consortium(tmp_path / "consortium", COUNT, rounds=1)
    expected = digest(make_consortium(tmp_path / "undisturbed", COUNT, rounds=1).run())
    with sites(consortium, tmp_path) as flower:
        killing = Killing(flower, Exchange(1, "masked"))
        store = consortium.store()
        state = run(consortium.job, killing, store, consortium.events.append)
        store.close()
        assert flower._superlink is not None
        assert [flower._superlink.pid] != killing.killed
    assert digest(state) == expected
    # Of three, t = 3: the attempt was lost, the next one was whole, and nobody waited for the deadline.
    assert [failed.code for failed in consortium.failed] == ["too-few-members"]
    assert [done.aggregation.u3 for done in consortium.rounds] == [consortium.names] * 2
    assert all(seconds < PATIENCE for _, seconds in killing.exchanges)
