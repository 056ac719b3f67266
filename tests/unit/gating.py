"""A gate over real TLS, with a real key and Flower's own bodies; behind it stands an application that says what
reached it."""

import base64
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.proto.error_pb2 import Error
from flwr.proto.fleet_pb2 import (
    PullMessagesResponse,
    PushMessagesRequest,
)
from flwr.proto.message_pb2 import (
    Message,
    Metadata,
    ObjectTree,
    PushObjectRequest,
)

from aggregator import tls
from aggregator.bounded_http import BoundedServer, Bounds
from aggregator.carriers.gate import Gate, Node, Receive, Send
from aggregator.registry_server import _listening
from tests.unit.site import free_port

LARGEST = 100_000
TIME = b"2026-11-22T10:00:00+00:00"
NODE, SUPERLINK = 77, 1


def object_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def chain(*names: str) -> ObjectTree:
    """Objects, each in the one before."""
    return ObjectTree(object_id=object_id(names[0]), children=[chain(*names[1:])] if names[1:] else [])


def doubling(levels: int) -> ObjectTree:
    """Each level names the one below twice: Flower would look each of them up."""
    ids = [object_id(f"level {level}") for level in range(levels)]
    named = [[]] + [[ObjectTree(object_id=id)] * 2 for id in ids]
    below = [ObjectTree(object_id=id, children=twice) for id, twice in zip(ids, named, strict=False)]
    return ObjectTree(object_id=object_id("an answer"), children=below)


ASKED = Metadata(run_id=5, message_id=object_id("asked"), src_node_id=SUPERLINK, dst_node_id=NODE, ttl=60.0)
PULLED = PullMessagesResponse(
    messages_list=[Message(metadata=ASKED)], message_object_trees=[chain("asked", "request", "frame")]
).SerializeToString()
TREE = chain("an answer", "record", "its frame")


def answer_to(asked: str = "asked", tree: ObjectTree = TREE, error: str = "", **differing: Any) -> PushMessagesRequest:
    """The announcement of an answer, as a node of ours makes it but for what differs."""
    metadata = Metadata(
        run_id=5,
        message_id=tree.object_id,
        src_node_id=NODE,
        dst_node_id=SUPERLINK,
        reply_to_message_id=object_id(asked),
        ttl=50.0,
    )
    metadata.MergeFrom(Metadata(**differing))
    message = Message(metadata=metadata, error=Error(code=1, reason=error) if error else None)
    return PushMessagesRequest(messages_list=[message], message_object_trees=[tree])


def padding(size: int) -> bytes:
    """`size` bytes (130 to 16386) of fields that Flower does not know, in every one of its bodies."""
    length = size - 4
    return b"\xa2\x06" + bytes([length & 0x7F | 0x80, length >> 7]) + bytes(length)


def part(name: str, size: int) -> bytes:
    """The request of `size` bytes that pushes an object of that name."""
    content, request = size, b""
    while len(request) != size:
        request = pushing(name, b"Message  0\0" + bytes(content))
        content -= len(request) - size
    return request


def pushing(name: str, content: bytes) -> bytes:
    """The request that pushes this object of that name."""
    return PushObjectRequest(object_id=object_id(name), object_content=content).SerializeToString()


@dataclass
class Behind:
    """Flower's place: answers everything with `answer`."""

    reached: list[tuple[str, int]] = field(default_factory=list)
    shown: Any = None
    answer: bytes = PULLED
    status: int = 200

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            part = await receive()
            size, more = size + len(part["body"]), part.get("more_body", False)
        self.reached.append((scope["path"].rpartition("/")[2], size))
        self.shown = scope
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.answer})


@dataclass
class Gated:
    behind: Behind
    told: list[tuple[str, str]]
    over: list[tuple[str, list[str]]]
    key: ec.EllipticCurvePrivateKey
    http: httpx.Client
    trust: ssl.SSLContext

    def connected(self) -> ssl.SSLSocket:
        """A connection of one's own, for what no client sends."""
        plain = socket.create_connection(("127.0.0.1", self.http.base_url.port or 0), timeout=10)
        return self.trust.wrap_socket(plain, server_hostname="127.0.0.1")

    def call(self, name: str, body: bytes = b"", key: ec.EllipticCurvePrivateKey | None = None, **headers: str) -> int:
        """The status of a call as the node of this key makes it."""
        key = key or self.key
        signature = base64.b64encode(key.sign(TIME, ec.ECDSA(hashes.SHA256()))).decode()
        signed = {
            "flwr-public-key": as_sent(key).decode(),
            "flwr-timestamp": TIME.decode(),
            "flwr-signature": signature,
        }
        return self.http.post(f"/v1/fleet/{name}", content=body, headers=signed | headers).status_code


def as_sent(key: ec.EllipticCurvePrivateKey) -> bytes:
    return base64.b64encode(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


Certificate = tuple[Path, Path, ssl.SSLContext]


def certificate_in(folder: Path) -> Certificate:
    """A server's certificate, its key, and who trusts it."""
    authority_key, authority = tls.make_authority("研究会")
    key, certificate = tls.make_server(authority_key, authority, ["127.0.0.1"])
    (folder / "server.pem").write_bytes(certificate)
    (folder / "tls.key").write_bytes(key)
    return folder / "server.pem", folder / "tls.key", ssl.create_default_context(cadata=authority.decode())


@contextlib.contextmanager
def listening_gate(certificate: Certificate) -> Iterator[Gated]:
    """A gate that listens on loopback, and one registered node."""
    *files, trust = certificate
    behind, told, key = Behind(), list[tuple[str, str]](), ec.generate_private_key(ec.SECP384R1())
    nodes, over = [Node("toyo", key.public_key(), as_sent(key))], list[tuple[str, list[str]]]()
    application = Gate(
        behind,
        nodes,
        LARGEST,
        lambda *complaint: told.append(complaint),
        lambda member, message: over.append((member, message.answer)),
    )
    listening = _listening("127.0.0.1", port := free_port(), "carrier", "通信路")
    server = BoundedServer(application, listening, *files, Bounds(), lambda *complaint: told.append(complaint))
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust) as http:
        yield Gated(behind, told, over, key, http, trust)
    server.stop()


def announce(gated: Gated, announcement: PushMessagesRequest | None = None) -> int:
    return gated.call("push-messages", (announcement or answer_to()).SerializeToString())
