"""What a node may ask of the carrier, over real TLS, with real keys; behind the gate stands an application that says
what reached it."""

import base64
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aggregator import tls
from aggregator.bounded_http import BoundedServer, Bounds
from aggregator.carriers import gate
from aggregator.carriers.gate import Gate, Node, Receive, Send
from aggregator.carriers.own_process import of_user
from aggregator.registry_server import _listening
from tests.unit.site import free_port

LARGEST = 100_000
TIME = b"2026-11-22T10:00:00+00:00"


@dataclass
class Behind:
    """Flower's place: answers everything with `answer`."""

    reached: list[tuple[str, int]] = field(default_factory=list)
    answer: bytes = b"a message"
    status: int = 200

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            part = await receive()
            size, more = size + len(part["body"]), part.get("more_body", False)
        self.reached.append((scope["path"].rpartition("/")[2], size))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.answer})


@dataclass
class Gated:
    behind: Behind
    told: list[tuple[str, str]]
    key: ec.EllipticCurvePrivateKey
    http: httpx.Client
    trust: ssl.SSLContext

    def connected(self) -> ssl.SSLSocket:
        """A connection of one's own, for what no client sends."""
        plain = socket.create_connection(("127.0.0.1", self.http.base_url.port or 0), timeout=10)
        return self.trust.wrap_socket(plain, server_hostname="127.0.0.1")

    def call(self, name: str, size: int = 10, key: ec.EllipticCurvePrivateKey | None = None, **headers: str) -> int:
        """The status of a call as the node of this key makes it."""
        key = key or self.key
        signature = base64.b64encode(key.sign(TIME, ec.ECDSA(hashes.SHA256()))).decode()
        signed = {
            "flwr-public-key": as_sent(key).decode(),
            "flwr-timestamp": TIME.decode(),
            "flwr-signature": signature,
        }
        return self.http.post(f"/v1/fleet/{name}", content=bytes(size), headers=signed | headers).status_code


def as_sent(key: ec.EllipticCurvePrivateKey) -> bytes:
    return base64.b64encode(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("gate")
    authority_key, authority = tls.make_authority("研究会")
    key, certificate = tls.make_server(authority_key, authority, ["127.0.0.1"])
    (folder / "server.pem").write_bytes(certificate)
    (folder / "tls.key").write_bytes(key)
    return folder / "server.pem", folder / "tls.key", ssl.create_default_context(cadata=authority.decode())


@pytest.fixture
def gated(certificate: tuple[Path, Path, ssl.SSLContext]) -> Iterator[Gated]:
    *files, trust = certificate
    behind, told, key = Behind(), list[tuple[str, str]](), ec.generate_private_key(ec.SECP384R1())
    nodes = [Node("toyo", key.public_key(), as_sent(key))]
    application = Gate(behind, nodes, LARGEST, lambda *complaint: told.append(complaint))
    listening = _listening("127.0.0.1", port := free_port(), "carrier", "通信路")
    server = BoundedServer(application, listening, *files, Bounds(), lambda *complaint: told.append(complaint))
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust) as http:
        yield Gated(behind, told, key, http, trust)
    server.stop()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/stop-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/v1/runtime/pull-messages",
        "/v1/fleet/register-node",
        "/v1/fleet/pull-messages/../../control/start-run",
        "/v1/fleet//v1/control/start-run",
        "//v1/control/start-run",
        "/v1/control/start-run?/v1/fleet/get-run",
        "/v1%2Fcontrol/start-run",
        "/docs",
        "/",
    ],
)
def test_nothing_of_flowers_is_reached_but_what_nodes_call(path: str, gated: Gated) -> None:
    signed = {"flwr-public-key": as_sent(gated.key).decode()}
    for method in ("POST", "GET"):
        assert gated.http.request(method, path, headers=signed).status_code in (401, 404)
    assert gated.behind.reached == []


def test_a_registered_node_passes(gated: Gated) -> None:
    assert gated.call("pull-messages") == 200
    assert gated.behind.reached == [("pull-messages", 10)]


def test_a_node_that_is_not_registered_is_turned_away_before_its_bytes_are_read(gated: Gated) -> None:
    assert gated.call("pull-messages", key=ec.generate_private_key(ec.SECP384R1())) == 401
    assert gated.behind.reached == []


@pytest.mark.parametrize("signature", ["", "AAAA", "no*base64"])
def test_a_members_key_without_its_signature_is_turned_away(signature: str, gated: Gated) -> None:
    assert gated.call("pull-messages", **{"flwr-signature": signature}) == 401
    assert gated.call("pull-messages", **{"flwr-timestamp": "2026-11-22T10:00:01+00:00"}) == 401
    assert gated.behind.reached == []


def test_an_answer_is_due_only_to_a_message_that_was_taken(gated: Gated) -> None:
    assert gated.call("push-object", 10) == 413
    assert gated.call("push-messages") == 429
    gated.behind.answer = b""  # nothing for this node
    gated.call("pull-messages")
    assert gated.call("push-messages") == 429
    gated.behind.answer = b"a message"
    gated.call("pull-messages")
    assert [gated.call("push-messages") for _ in range(4)] == [200, 200, 200, 429]
    assert gated.call("push-object", LARGEST) == 200
    assert {code for _, code in gated.told} == {"bytes", "unasked"}
    assert {who for who, _ in gated.told} == {"toyo"}


def test_an_answer_larger_than_the_largest_is_turned_away_unread(gated: Gated) -> None:
    gated.call("pull-messages")
    assert gated.call("push-object", LARGEST + 1) == 413
    assert ("push-object", LARGEST + 1) not in gated.behind.reached
    assert gated.told == [("toyo", "bytes")]


def test_many_large_answers_to_one_message_are_turned_away(gated: Gated) -> None:
    gated.call("pull-messages")
    assert [gated.call("push-object", LARGEST) for _ in range(4)] == [200, 200, 200, 413]


def test_a_call_without_an_answer_is_small(gated: Gated) -> None:
    assert gated.call("send-node-heartbeat", gate.SMALL) == 200
    assert gated.call("send-node-heartbeat", gate.SMALL + 1) == 413


@pytest.mark.parametrize("stated", [{}, {"content-length": "2"}], ids=["nothing", "a-lie"])
def test_a_request_in_chunks_is_turned_away_whatever_length_it_states(stated: dict[str, str], gated: Gated) -> None:
    signature = base64.b64encode(gated.key.sign(TIME, ec.ECDSA(hashes.SHA256()))).decode()
    lines = {"host": "127.0.0.1", "flwr-public-key": as_sent(gated.key).decode(), "flwr-timestamp": TIME.decode()}
    lines |= {"flwr-signature": signature, "transfer-encoding": "chunked"} | stated
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with gated.connected() as connection:
        connection.sendall(f"POST /v1/fleet/pull-messages HTTP/1.1\r\n{head}\r\n".encode() + b"2\r\nxy\r\n")
        assert connection.recv(4096).split()[1] in (b"413", b"400")
    assert gated.behind.reached == []


@pytest.fixture
def few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "REQUESTS", (5, 0.01))


@pytest.mark.usefixtures("few_requests")
def test_a_node_that_floods_is_turned_away_and_named(gated: Gated) -> None:
    assert [gated.call("send-node-heartbeat") for _ in range(7)] == [200] * 5 + [429] * 2
    assert gated.told == [("toyo", "requests")] * 2


def test_a_node_that_flower_refuses_because_of_its_clock_is_named(gated: Gated) -> None:
    gated.behind.status = 401
    assert gated.call("activate-node") == 401
    assert gated.told == [("toyo", "clock")]


def test_a_connection_of_this_machine_has_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, peer = server.accept()
        with accepted:
            ends = (*peer, *server.getsockname())
            assert of_user(os.geteuid(), *ends)
            assert not of_user(os.geteuid() + 1, *ends)
            client.close()
            assert not of_user(os.geteuid(), *ends)  # whoever it was, it is gone
