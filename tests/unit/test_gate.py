"""What a node may ask of the carrier, over real TLS, with real keys and Flower's own bodies; behind the gate stands an
application that says what reached it."""

import base64
import hashlib
import math
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.proto.error_pb2 import Error
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
)
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Message,
    Metadata,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node as FlowersNode
from flwr.proto.recorddict_pb2 import RecordDict
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from aggregator import tls
from aggregator.bounded_http import BoundedServer, Bounds
from aggregator.carriers import gate
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
    assert gated.behind.reached == [("pull-messages", 0)]


def test_a_node_that_is_not_registered_is_turned_away_before_its_bytes_are_read(gated: Gated) -> None:
    assert gated.call("pull-messages", key=ec.generate_private_key(ec.SECP384R1())) == 401
    assert gated.behind.reached == []


@pytest.mark.parametrize("signature", ["", "AAAA", "no*base64"])
def test_a_members_key_without_its_signature_is_turned_away(signature: str, gated: Gated) -> None:
    assert gated.call("pull-messages", **{"flwr-signature": signature}) == 401
    assert gated.call("pull-messages", **{"flwr-timestamp": "2026-11-22T10:00:01+00:00"}) == 401
    assert gated.behind.reached == []


def announce(gated: Gated, announcement: PushMessagesRequest | None = None) -> int:
    return gated.call("push-messages", (announcement or answer_to()).SerializeToString())


def test_an_answer_is_due_only_to_a_message_that_was_taken(gated: Gated) -> None:
    assert gated.call("push-object", part("record", 200)) == 413
    assert announce(gated) == 429
    gated.behind.answer = b""  # nothing for this node
    gated.call("pull-messages")
    assert announce(gated) == 429
    gated.behind.answer, gated.behind.status = PULLED, 415
    gated.call("pull-messages")
    assert announce(gated) == 429
    gated.behind.status = 200
    gated.call("pull-messages")
    assert [announce(gated) for _ in range(4)] == [200, 200, 200, 429]
    assert gated.call("push-object", part("its frame", LARGEST)) == 200
    assert {code for _, code in gated.told} == {"bytes", "unasked"}
    assert {who for who, _ in gated.told} == {"toyo"}


def test_an_answer_larger_than_the_largest_is_turned_away_unread(gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    assert gated.call("push-object", part("record", LARGEST + 1)) == 413
    assert ("push-object", LARGEST + 1) not in gated.behind.reached
    assert gated.told == [("toyo", "bytes")]


def test_many_large_answers_to_one_message_are_turned_away(gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    large = part("its frame", LARGEST)
    assert [gated.call("push-object", large) for _ in range(4)] == [200, 200, 200, 413]


def test_an_error_is_an_answer_of_one_object_however_much_it_says(gated: Gated) -> None:
    gated.call("pull-messages")
    assert announce(gated, answer_to(tree=chain("an error"), error="because " * 1000)) == 200
    assert gated.told == []


WRONG: dict[str, Callable[[], PushMessagesRequest]] = {
    "in-the-superlinks-name": lambda: answer_to(src_node_id=SUPERLINK),
    "in-anothers-name": lambda: answer_to(src_node_id=NODE + 1),
    "to-another-node": lambda: answer_to(dst_node_id=NODE + 1),
    "to-another-message": lambda: answer_to("what nobody asked"),
    "of-another-run": lambda: answer_to(run_id=6),
    "for-ever": lambda: answer_to(ttl=math.inf),
    "until-nobody-knows-when": lambda: answer_to(created_at=math.nan),
    "another-identifier": lambda: answer_to(message_id=object_id("something else")),
    "long-identifiers": lambda: answer_to(group_id="A" * 129),
    "doubling-tree": lambda: answer_to(tree=doubling(20)),
    "no-record": lambda: answer_to(tree=chain("an answer")),
    "no-frame": lambda: answer_to(tree=chain("an answer", "record")),
    "too-deep": lambda: answer_to(tree=chain("an answer", "record", "its frame", "more")),
    "in-itself": lambda: answer_to(tree=chain("an answer", "record", "an answer")),
    "two-at-once": lambda: PushMessagesRequest(
        messages_list=[*answer_to().messages_list] * 2, message_object_trees=[TREE, TREE]
    ),
    "none": PushMessagesRequest,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_announcement_that_is_no_answer_to_the_message_taken_is_turned_away_and_named(
    wrong: str, gated: Gated
) -> None:
    gated.call("pull-messages")
    assert announce(gated, WRONG[wrong]()) == 400
    assert gated.told == [("toyo", "answer")]
    assert gated.behind.reached == [("pull-messages", 0)]
    assert announce(gated) == 200  # the true one may still come


def test_content_does_not_come_with_the_announcement(gated: Gated) -> None:
    gated.call("pull-messages")
    announcement, content = answer_to(), RecordDict()
    content.items.add(key="answer")
    announcement.messages_list[0].content.CopyFrom(content)
    assert announce(gated, announcement) == 400


def test_a_second_answer_to_the_same_message_is_turned_away(gated: Gated) -> None:
    gated.call("pull-messages")
    assert announce(gated) == 200
    assert announce(gated, answer_to(tree=chain("another", "record", "its frame"))) == 400
    assert gated.told == [("toyo", "answer")]


def test_only_the_message_that_was_taken_is_confirmed(gated: Gated) -> None:
    def confirm(name: str) -> int:
        body = ConfirmMessageReceivedRequest(message_object_id=object_id(name))
        return gated.call("confirm-message-received", body.SerializeToString())

    assert confirm("asked") == 400
    gated.call("pull-messages")
    announce(gated)
    assert [confirm(name) for name in ("asked", "an answer", "its frame", "request")] == [200, 400, 400, 400]
    assert set(gated.told) == {("toyo", "body")}


def test_only_objects_of_the_message_that_was_taken_are_pulled(gated: Gated) -> None:
    gated.call("pull-messages")
    pulled = [
        gated.call("pull-object", PullObjectRequest(object_id=object_id(name)).SerializeToString())
        for name in ("asked", "request", "frame", "of another")
    ]
    assert pulled == [200, 200, 200, 400]


def test_only_objects_of_the_announced_answer_are_pushed(gated: Gated) -> None:
    gated.call("pull-messages")
    assert gated.call("push-object", part("record", 200)) == 400  # not announced yet
    announce(gated)
    assert [gated.call("push-object", part(name, 200)) for name in ("record", "its frame", "frame")] == [200, 200, 400]


@pytest.mark.parametrize(
    "hash", ["A" * 129, "A" * 60_000, "x\nERROR : honest", "\x1b[2J", "\u202e", "\u3042"], ids=range(6)
)
def test_identifiers_that_are_long_or_not_plain_do_not_reach_flowers_log(hash: str, gated: Gated) -> None:
    assert gated.call("get-fab", GetFabRequest(hash_str="A" * 64).SerializeToString()) == 200
    assert gated.call("get-fab", GetFabRequest(hash_str=hash).SerializeToString()) == 400
    assert gated.told == [("toyo", "body")]


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"no head", b"Text  3\0abc", b"Message\nERROR  3\0abc", b"Message x 3\0abc", b"A" * 9000 + b"  3\0"],
    ids=range(7),
)
def test_an_object_that_begins_with_text_does_not_reach_flowers_log(content: bytes, gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    assert gated.call("push-object", pushing("its frame", content)) == 400
    assert gated.told == [("toyo", "body")]


def test_flower_is_shown_of_a_head_what_the_node_signed_and_nothing_else(gated: Gated) -> None:
    strange = {"content-type": "x" * 9_000, "host": "honest", "user-agent": "x", "flwr-package-version": "0"}
    assert gated.call("pull-messages?more=x", **strange) == 200
    shown = dict(gated.behind.shown["headers"])
    assert shown.keys() == {
        b"flwr-public-key",
        b"flwr-timestamp",
        b"flwr-signature",
        b"content-type",
        b"content-length",
    }
    assert shown[b"content-type"].decode() == PROTOBUF_MEDIA_TYPE
    assert len(shown) == len(gated.behind.shown["headers"])
    assert gated.behind.shown["query_string"] == b""


def test_only_the_frame_of_an_answer_is_large(gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    large = b"Message  0\0" + bytes(gate.SMALL)
    pushed = [gated.call("push-object", pushing(name, large)) for name in ("an answer", "record", "its frame")]
    assert pushed == [400, 400, 200]
    gated.call("pull-messages")
    announce(gated, answer_to(tree=chain("an error"), error="why"))
    assert gated.call("push-object", pushing("an error", large)) == 400


def test_what_a_node_announced_is_over_when_it_takes_its_next_message(gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    assert gated.over == []
    gated.behind.answer = b""  # nothing for this node
    gated.call("pull-messages")
    assert gated.over == []
    gated.behind.answer = PULLED
    gated.call("pull-messages")
    assert gated.over == [("toyo", [object_id(name) for name in ("an answer", "record", "its frame")])]


@pytest.mark.parametrize("call", sorted(gate._CALLS))
def test_a_body_that_is_none_is_turned_away(call: str, gated: Gated) -> None:
    gated.call("pull-messages")
    announce(gated)
    assert gated.call(call.rpartition("/")[2], b"\xff" * 20) == 400
    assert len(gated.behind.reached) == 2


def test_a_call_without_an_answer_is_small(gated: Gated) -> None:
    small = padding(gate.SMALL // 4) * 4
    assert gated.call("send-node-heartbeat", small) == 200
    assert gated.call("send-node-heartbeat", small + b"\0") == 413


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
    monkeypatch.setattr(gate, "STRANGERS", (3, 0.01))


@pytest.mark.usefixtures("few_requests")
def test_an_address_that_asks_for_what_is_no_nodes_is_named_and_nodes_behind_it_are_heard(gated: Gated) -> None:
    assert [gated.http.get("/").status_code for _ in range(2)] == [404] * 2
    stranger = ec.generate_private_key(ec.SECP384R1())
    assert [gated.call("pull-messages", key=stranger) for _ in range(2)] == [401, 429]
    assert gated.http.get("/").status_code == 429
    assert gated.told == [("127.0.0.1", "requests")] * 2
    assert gated.call("pull-messages") == 200


@pytest.mark.usefixtures("few_requests")
def test_a_node_that_floods_is_turned_away_and_named(gated: Gated) -> None:
    assert [gated.call("send-node-heartbeat") for _ in range(7)] == [200] * 5 + [429] * 2
    assert gated.told == [("toyo", "requests")] * 2


def activate(gated: Gated, key: ec.EllipticCurvePrivateKey | None = None) -> int:
    public = base64.b64decode(as_sent(key or gated.key))
    gated.behind.answer = ActivateNodeResponse(node_id=NODE).SerializeToString()
    return gated.call("activate-node", ActivateNodeRequest(public_key=public).SerializeToString())


def look(gated: Gated, number: int) -> int:
    """Ask for a message as the node of this number."""
    return gated.call("pull-messages", PullMessagesRequest(node=FlowersNode(node_id=number)).SerializeToString())


def test_a_node_that_flower_refuses_because_of_its_clock_is_named(gated: Gated) -> None:
    gated.behind.status = 401
    assert activate(gated) == 401
    gated.behind.status = 200
    activate(gated)
    gated.behind.status = 401
    assert look(gated, NODE) == 401
    assert gated.told == [("toyo", "clock")] * 2


def test_a_call_in_another_nodes_name_is_told_as_one_and_not_as_a_clock(gated: Gated) -> None:
    assert activate(gated, ec.generate_private_key(ec.SECP384R1())) == 400
    activate(gated)
    assert look(gated, NODE + 1) == 400
    assert gated.told == [("toyo", "body")] * 2


def test_a_node_that_goes_by_the_number_of_before_a_restart_is_not_named(gated: Gated) -> None:
    gated.behind.status = 401
    assert look(gated, NODE + 1) == 401
    assert gated.told == []
