"""What a node may ask of the carrier, and what strangers may; see `gating`."""

import base64
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    PullMessagesRequest,
)
from flwr.proto.node_pb2 import Node as FlowersNode
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from aggregator.carriers import gate
from tests.unit.gating import (
    NODE,
    TIME,
    Certificate,
    Gated,
    announce,
    as_sent,
    certificate_in,
    listening_gate,
    padding,
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_in(tmp_path_factory.mktemp("gate"))


@pytest.fixture
def gated(certificate: Certificate) -> Iterator[Gated]:
    with listening_gate(certificate) as gated:
        yield gated


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
