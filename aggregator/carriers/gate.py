"""What strangers see of a SuperLink: the calls that a member's node makes, and none of its others.

Flower serves everything at one port: beside what nodes call, an interface with which anybody could start an app of
their own on the coordinator's machine, stop ours, or register a node. Behind the gate only registered nodes are heard,
before a byte of a request's body is read, and each is bounded: in requests, in requests at a time, and in bytes. What a
body says has to do with the message that its node took last.
"""

import asyncio
import base64
import binascii
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE

from aggregator.allowance import Allowance
from aggregator.bounded_http import Tell
from aggregator.carriers.bodies import SMALL, Caller, Taken, activated, belongs, taken

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
Over = Callable[[str, Taken], None]
"""Hears, in a thread of its own, whose node took its next message, and the one before."""

_FLEET = "/v1/fleet/"
_ACTIVATE, _PULL, _PUSH, _OBJECT = "activate-node", "pull-messages", "push-messages", "push-object"
_CALLS = frozenset(
    f"{_FLEET}{call}"
    for call in (
        *(_ACTIVATE, "deactivate-node", "send-node-heartbeat", "get-run", "get-fab"),
        *(_PULL, _PUSH, _OBJECT, "pull-object", "confirm-message-received"),
    )
)
REQUESTS = 200, 20.0
"""Of one node: at once, and more each second. It looks for a message once a second, and each takes it a dozen more."""
AT_A_TIME = 8
"""Requests of one node; Flower's has up to four."""
STRANGERS = 100, 5.0
"""Requests of one address that are no node's: at once, and more each second; more are told. None reaches Flower."""
_SIGNED = (b"flwr-public-key", b"flwr-timestamp", b"flwr-signature")
_TRIES = 3
"""How often an answer may be sent, where the network fails in between."""


@dataclass
class _Due:
    """What a node may still send for the last message that it took: bytes of objects, and announcements of them."""

    bytes: int = 0
    announcements: int = 0
    message: Taken | None = None


@dataclass(frozen=True)
class Node:
    """A member's node: its public key, and how it stands in a request's head."""

    member: str
    key: ec.EllipticCurvePublicKey
    as_sent: bytes


class Gate:
    """The ASGI application in front of Flower's. `largest`: bytes of the largest answer, with Flower's wrapping."""

    def __init__(self, app: App, nodes: Iterable[Node], largest: int, tell: Tell, over: Over) -> None:
        self._app, self._largest, self._tell, self._over = app, largest, tell, over
        self._nodes = {node.as_sent: node for node in nodes}
        self._callers = {node.member: Caller(base64.b64decode(node.as_sent)) for node in self._nodes.values()}
        self._requests, self._open = Allowance(*REQUESTS), Counter[str]()
        self._strangers = Allowance(*STRANGERS)
        self._due = {node.member: _Due() for node in self._nodes.values()}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request: 404, 401, 429, 413 and 400 are the gate's own."""
        if scope["path"] not in _CALLS or scope["method"] != "POST":
            await self._turn_away(scope, send, 404)
            return
        headers = dict(scope["headers"])
        member = self._member(headers)
        if member is None:
            await self._turn_away(scope, send, 401)
            return
        call = scope["path"].removeprefix(_FLEET)
        if refusal := self._refusal(member, call, _size(headers)):
            status, code = refusal
            self._tell(member, code)
            await answer(send, status)
            return
        self._open[member] += 1
        try:
            await self._pass(scope, member, receive, send)
        finally:
            self._open[member] -= 1

    async def _turn_away(self, scope: Any, send: Send, status: int) -> None:
        """What is no node's. Its address is told when it comes again and again."""
        address = scope["client"][0] if scope["client"] else "?"
        if not self._strangers.take(address):
            self._tell(address, "requests")
            status = 429
        await answer(send, status)

    async def _pass(self, scope: Any, member: str, receive: Receive, send: Send) -> None:
        """Give Flower the request, if its body is one that this node may send."""
        body = await _body(receive)
        if body is None:
            return  # whoever sent it is gone
        call = scope["path"].removeprefix(_FLEET)
        if not belongs(scope["path"], body, self._callers[member], self._due[member].message):
            self._tell(member, "answer" if call == _PUSH else "body")
            await answer(send, 400)
            return
        await self._app(_bare(scope, body), _again(body, receive), self._noting(member, call, send))

    def _refusal(self, member: str, call: str, size: int | None) -> tuple[int, str] | None:
        """The status with which a request of `size` bytes (None: of any) is turned away, and what is told; None where
        it may pass, and then it counts."""
        due = self._due[member]
        if not self._requests.take(member):
            return 429, "requests"
        if self._open[member] >= AT_A_TIME:
            return 429, "at-once"
        if size is None or size > (min(self._largest, due.bytes) if call == _OBJECT else SMALL):
            return 413, "bytes"
        if call == _PUSH and due.announcements < 1:
            return 429, "unasked"
        due.announcements -= call == _PUSH
        due.bytes -= size if call == _OBJECT else 0
        return None

    def _noting(self, member: str, call: str, send: Send) -> Send:
        """`send`, which sees what Flower says to the node before the node does."""
        status, body = 0, b""

        async def noted(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            if message.get("status") == 401 and self._is_for_its_time(member, call):
                self._tell(member, "clock")
            if call in (_ACTIVATE, _PULL) and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body", False):
                    return
                message = {**message, "body": body}
                if status == 200:
                    await self._note(member, call, body)
            await send(message)

        return noted

    def _is_for_its_time(self, member: str, call: str) -> bool:
        """Why Flower refuses it. A node that ran before the SuperLink was started again goes by a number that is not
        known any more, until it is activated; other numbers are refused here."""
        return call == _ACTIVATE or self._callers[member].number is not None

    async def _note(self, member: str, call: str, body: bytes) -> None:
        """Which number the node goes by; or which message it took: from then on an answer to that is due, and none to
        the one before."""
        if call == _ACTIVATE:
            self._callers[member] = replace(self._callers[member], number=activated(body))
        elif pulled := taken(body):
            before = self._due[member].message
            self._due[member] = _Due(_TRIES * self._largest, _TRIES, pulled)
            if before is not None:
                await asyncio.to_thread(self._over, member, before)

    def _member(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Whose node signed the time in the headers. Flower looks at the time, and at who is meant in the body."""
        node = self._nodes.get(headers.get(b"flwr-public-key", b""))
        if node is None:
            return None
        try:
            signature = base64.b64decode(headers.get(b"flwr-signature", b""), validate=True)
            node.key.verify(signature, headers.get(b"flwr-timestamp", b""), ec.ECDSA(hashes.SHA256()))
        except (binascii.Error, InvalidSignature):
            return None
        return node.member


def _size(headers: Mapping[bytes, bytes]) -> int | None:
    """Bytes of the body; None where it comes in chunks, whatever length is stated too (RFC 9112 section 6.3)."""
    length = headers.get(b"content-length", b"")
    return int(length) if length.isdigit() and b"transfer-encoding" not in headers else None


async def _body(receive: Receive) -> bytes | None:
    """All of a request's body, whose length is bounded; None where the connection ends before it does."""
    parts = []
    while (part := await receive())["type"] == "http.request":
        parts.append(part.get("body", b""))
        if not part.get("more_body", False):
            return b"".join(parts)
    return None


def _bare(scope: Any, body: bytes) -> dict[str, Any]:
    """The request as Flower is shown it: of its head what the node signed. Flower writes the rest into its log."""
    headers = [header for header in dict(scope["headers"]).items() if header[0] in _SIGNED]
    headers += [(b"content-type", PROTOBUF_MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    return {**scope, "headers": headers, "query_string": b""}


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive`, from before the body was read."""
    unread = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return unread.pop() if unread else await receive()

    return received


async def answer(send: Send, status: int) -> None:
    """No content, and no more on this connection: the rest of a body may be under way."""
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
