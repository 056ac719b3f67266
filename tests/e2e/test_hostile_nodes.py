"""Members' nodes that misbehave with their real keys, at the real SuperLink: an honest node's answer comes as if they
were not there, and each of them is named.

Hostile nodes speak through Flower's own client, so that what they send is well-formed where nothing else is meant.
"""

import contextlib
import hashlib
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supernode.fleet_http_connection import http_request_response

from aggregator.carriers import Exchange, flower
from aggregator.carriers.flower import Flower, Servers
from clients.node_process import NodeProcess
from tests.e2e.sites import free_ports, server_files, wait_until
from tests.e2e.test_relay import make_site

pytestmark = pytest.mark.e2e
DEADLINE = 20.0
LARGEST = 200_000
NOBODY = 65534
FORGED = "\nWARNING : carrier: honest: sends an answer that is none in form"


@dataclass(frozen=True)
class Connection:
    """A node's connection to the SuperLink, as Flower's client has it."""

    receive: Callable[[], Any]
    send: Callable[..., tuple[set[str], str]]
    push_object: Callable[..., None]
    confirm: Callable[[int, str], None]

    def answer(self, taken: Any, content: RecordDict, leave_out: int = 0, **changed: Any) -> str:
        """Announce an answer, its metadata changed, and send all but the last `leave_out` objects. Its identifier."""
        message = Message(content, reply_to=taken)
        message.metadata.__dict__.update({f"_{name}": value for name, value in changed.items()})
        message.metadata.__dict__["_message_id"] = message.object_id
        objects = get_all_nested_objects(message)
        wanted, session = self.send(message, get_object_tree(message), 0.0)
        for id in sorted(wanted)[: len(wanted) - leave_out]:
            self.push_object(taken.metadata.run_id, session, id, objects[id].deflate())
        return message.object_id


def silent(node: Connection, taken: Any) -> None:
    """Takes a message and never answers."""


def half(node: Connection, taken: Any) -> None:
    """Announces an answer and never sends the last part of it."""
    node.answer(taken, framed(), leave_out=1)


def garbage(node: Connection, taken: Any) -> None:
    """An answer that holds no frame."""
    node.answer(taken, RecordDict({"answer": ConfigRecord({"frame": 1.0})}))


def empty(node: Connection, taken: Any) -> None:
    """An answer that holds nothing."""
    node.answer(taken, RecordDict())


def huge(node: Connection, taken: Any) -> None:
    """An answer larger than any."""
    node.answer(taken, RecordDict({"answer": ConfigRecord({"frame": bytes(10 * LARGEST)})}))


def flooding(node: Connection, taken: Any) -> None:
    """Asks again and again until it is turned away."""
    while True:
        node.receive()


def delete_own(node: Connection, taken: Any) -> None:
    """Announces an answer, and deletes it before the relay comes for it."""
    announced = node.answer(taken, framed(), leave_out=1)
    node.confirm(taken.metadata.run_id, announced)


def to_superlink_half(node: Connection, taken: Any) -> None:
    """A message to the SuperLink in its own name, whose last part never comes."""
    node.answer(taken, framed(), leave_out=1, src_node_id=1, dst_node_id=1, reply_to_message_id="")


def dag20(node: Connection, taken: Any) -> None:
    """An answer of objects each of which names the one below twice, and so on for twenty levels."""
    below = [ObjectTree(object_id=_hash("level 0"))]
    for level in range(1, 20):
        twice = [ObjectTree(object_id=_hash(f"level {level - 1}"))] * 2
        below.append(ObjectTree(object_id=_hash(f"level {level}"), children=twice))
    message = Message(framed(), reply_to=taken)
    message.metadata.__dict__["_message_id"] = message.object_id
    node.send(message, ObjectTree(object_id=message.object_id, children=below), 0.0)


class Bomb(Array):
    """An array that is said to be one chunk, 9,000 times."""

    def deflate(self) -> bytes:
        head, body = super().deflate().split(b"\0", 1)
        body = json.dumps(json.loads(body) | {"arraychunk_ids": [0] * 9000}).encode()
        _, chunks, _ = head.split(b" ")
        return b" ".join((b"Array", chunks, str(len(body)).encode())) + b"\0" + body


def bomb9000(node: Connection, taken: Any) -> None:
    """A good answer, and beside it an array that is 800 MB when it is inflated."""
    bomb = Bomb(dtype="uint8", shape=(90_000,), stype="numpy.ndarray", data=os.urandom(90_000))
    node.answer(taken, RecordDict({**framed(), "more": ArrayRecord({"a": bomb})}))


def text(node: Connection, taken: Any) -> None:
    """An answer whose last part is of a type that is text, for Flower to write down."""
    content = FORGED.encode() * 1000 + b"  0\0"
    ids = hashlib.sha256(content).hexdigest(), _hash("a record"), _hash(taken.metadata.message_id)
    tree = ObjectTree(object_id=ids[0])
    for id in ids[1:]:
        tree = ObjectTree(object_id=id, children=[tree])
    message = Message(framed(), reply_to=taken)
    message.metadata.__dict__["_message_id"] = ids[-1]
    _, session = node.send(message, tree, 0.0)
    node.push_object(taken.metadata.run_id, session, ids[0], content)


def framed() -> RecordDict:
    """A good answer, unlike all others: Flower keeps what is the same once, whoever sent it."""
    return RecordDict({"answer": ConfigRecord({"frame": os.urandom(16)})})


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


HOSTILE = {
    each.__name__: each
    for each in (silent, half, garbage, empty, huge, flooding, delete_own, to_superlink_half, dag20, bomb9000, text)
}


def behave(key: ec.EllipticCurvePrivateKey, superlink: str, authority: Path, act: Callable[..., None]) -> None:
    """A node that answers each message by `act`."""
    connected = http_request_response(superlink, False, str(authority), (key, key.public_key()), max_retries=0)
    with contextlib.suppress(Exception), connected as (_, receive, send, _, _, _, push_object, confirm):
        while True:
            if taken := receive():
                with contextlib.suppress(httpx.HTTPStatusError):
                    act(Connection(receive, send, push_object, confirm), taken[0])
            time.sleep(0.5)


@dataclass
class Met:
    """A carrier with one honest node and all hostile ones connected."""

    carrier: Flower
    superlink: str
    authority: Path
    heard: MemoryHandler

    @property
    def log(self) -> str:
        """What the SuperLink wrote, up to now."""
        return self.carrier._log.read_text(encoding="utf-8")

    @property
    def told(self) -> list[str]:
        return [record.getMessage() for record in self.heard.buffer]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Met]:
    folder = tmp_path_factory.mktemp("hostile")
    files = server_files(folder)
    honest, keys = make_site(folder / "honest"), {name: ec.generate_private_key(ec.SECP384R1()) for name in HOSTILE}
    nodes = {
        name: key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        for name, key in keys.items()
    }
    heard = MemoryHandler(capacity=1000, flushLevel=logging.CRITICAL + 1)
    logging.getLogger(flower.__name__).addHandler(heard)
    port = free_ports(1)[0]
    superlink = f"127.0.0.1:{port}"
    servers = Servers("127.0.0.1", port, *files)
    carrier = Flower(servers, nodes | {"honest": honest.public_key}, folder / "coordinator", LARGEST)
    carrier.online()
    node = NodeProcess(honest.node(superlink, files[2]))
    try:
        for name, act in HOSTILE.items():
            threading.Thread(target=behave, args=(keys[name], superlink, files[2], act), daemon=True).start()
        wait_until(lambda: carrier.online() == {"honest", *HOSTILE}, "all nodes are connected", 120)
        yield Met(carrier, superlink, files[2], heard)
    finally:
        node.stop()
        carrier.close()
        logging.getLogger(flower.__name__).removeHandler(heard)


def test_an_honest_answer_comes_in_every_exchange_whatever_others_send(met: Met) -> None:
    superlink = met.carrier._superlink
    for number in (1, 2):
        began, after, answers = time.monotonic(), -1.0, {}
        for member, answer in met.carrier.exchange(
            Exchange(number, "keys", DEADLINE), dict.fromkeys(["honest", *HOSTILE], b"frame")
        ):
            answers[member] = answer
            after = time.monotonic() - began if member == "honest" else after
        print(f"exchange {number}: the honest answer after {after:.1f} s of {DEADLINE} s")
        assert answers == {"honest": b"answer"}
        assert after < DEADLINE - 2
    assert met.carrier._superlink is superlink  # none of them ended it
    assert superlink is not None
    assert superlink.poll() is None


def test_each_of_them_is_named_in_the_log_with_what_it_did(met: Met) -> None:
    expected = {
        "half": "announced an answer and did not send all of it",
        "text": "sends a request that has nothing to do with the message it took",
        "huge": "sends more bytes",
        "flooding": "sends more requests",
        "garbage": "sends an answer that is none",
        "delete_own": "sends a request that has nothing to do with the message it took",
        **dict.fromkeys(("empty", "to_superlink_half", "dag20", "bomb9000"), "sends an answer that is none"),
    }
    for name, deed in expected.items():
        named = f"carrier: {name}: {deed}"
        wait_until(lambda: any(line.startswith(named) for line in met.told), named, 30)  # noqa: B023
    assert not [line for line in met.told if "honest" in line]


def test_what_nodes_send_is_not_in_the_superlinks_log(met: Met) -> None:
    assert FORGED.strip() not in met.log
    assert len(met.log) < 50_000


def test_what_strangers_send_is_not_in_the_superlinks_log(met: Met) -> None:
    trust = ssl.create_default_context(cafile=str(met.authority))
    before = len(met.log)
    with httpx.Client(base_url=f"https://{met.superlink}", verify=trust) as stranger:
        assert {stranger.get("/" + "%22" * 5000).status_code for _ in range(20)} == {404}
    assert len(met.log) - before < 1000


def test_nobody_starts_an_app_at_the_coordinator(met: Met, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        f'[superlink.rengo]\naddress = "{met.superlink}"\nroot-certificates = "{met.authority}"\n'
    )
    program = str(Path(sys.executable).with_name("flwr"))
    command = [program, "run", str(flower.RELAY), "rengo", "--format", "json"]
    environment = {**met.carrier._environment(), "FLWR_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert "404" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_of_the_machine_does_not_reach_flower_at_its_local_port(met: Met) -> None:
    assert status_of_a_list_of_runs(met, os.geteuid()) == 200
    with pytest.raises((ConnectionError, ssl.SSLEOFError)):  # before TLS
        status_of_a_list_of_runs(met, NOBODY)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_of_the_machine_holds_nothing_at_the_local_port(met: Met) -> None:
    assert met.carrier._superlink is not None
    files = Path(f"/proc/{met.carrier._superlink.pid}/fd")
    before = len(list(files.iterdir()))
    held = [connected_as(NOBODY, met.carrier._local_port) for _ in range(300)]
    assert all(each.recv(1) == b"" for each in held)
    assert len(list(files.iterdir())) < before + 50
    assert status_of_a_list_of_runs(met, os.geteuid()) == 200


def connected_as(user: int, port: int) -> socket.socket:
    """A connection of this user: a socket belongs to whoever makes it."""
    us = os.geteuid()
    os.seteuid(user)
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=10)
    finally:
        os.seteuid(us)


def status_of_a_list_of_runs(met: Met, user: int) -> int:
    """What Flower's control interface answers to this user."""
    plain = connected_as(user, met.carrier._local_port)
    trust = ssl.create_default_context(cafile=str(met.authority))
    head = "POST /v1/control/list-runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
    with plain, trust.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        connection.sendall(f"{head}Content-Type: {PROTOBUF_MEDIA_TYPE}\r\n\r\n".encode())
        return int(connection.recv(4096).split()[1])
