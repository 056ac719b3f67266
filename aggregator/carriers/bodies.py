"""What the bodies of a node's calls say, read with Flower's own classes: whether it has to do with the one message that
the node took last.

Flower believes a body: whose name an answer is in, whom it goes to, what it is made of and which message is deleted.
And it writes what a body names into its log.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flwr.proto.error_pb2 import Error
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    ActivateNodeResponse,
    PullMessagesResponse,
    PushMessagesRequest,
)
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    Metadata,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Body

SMALL = 64 << 10
"""Bytes of a request that carries no answer, and of what an answer wraps its frame in."""
_TEXT, _KEY = 128, 1024
"""Characters of an identifier or a hash, all of them ASCII and printable; bytes of a public key."""
_OBJECTS = 3
"""What an answer is made of, each in the one before: message, record and frame. An error is in the message."""
_HEAD = re.compile(rb"(Message|RecordDict|ConfigRecord) [0-9a-f]{0,64} [0-9]{1,20}\x00")
"""How an object of it begins: type, the object in it, bytes of the rest. Flower says of others what stood there."""


@dataclass
class Taken:
    """The message that a node took last: what is said of it, the identifiers of its objects, and how it is answered."""

    metadata: Metadata
    objects: frozenset[str]
    announced: PushMessagesRequest | None = None

    @property
    def answer(self) -> list[str]:
        """The objects of the answer that was announced, each before the one in it; empty before that."""
        return _ids(self.announced.message_object_trees[0])[::-1] if self.announced else []


@dataclass(frozen=True)
class Caller:
    """Whose call it is: its public key as Flower has it, and the number that Flower gave it, once that is known."""

    public_key: bytes
    number: int | None = None


def taken(response: bytes) -> Taken | None:
    """The message in Flower's answer to pull-messages; None: there is none for this node."""
    pulled = PullMessagesResponse.FromString(response)
    if not pulled.messages_list:
        return None
    return Taken(pulled.messages_list[0].metadata, frozenset(_ids(pulled.message_object_trees[0])))


def activated(response: bytes) -> int:
    """The number of the node in Flower's answer to activate-node."""
    return int(ActivateNodeResponse.FromString(response).node_id)


def belongs(path: str, body: bytes, caller: Caller, message: Taken | None) -> bool:
    """Whether this body is one of the call at `path`, in the caller's name, and has to do with the message that it
    took. The first answer that does is kept as announced."""
    try:
        request = PROTOBUF_REQUEST_TYPES["POST", path].FromString(body)
    except DecodeError:
        return False
    if not _short(request) or not _in_its_own_name(request, caller):
        return False
    if not isinstance(
        request, PushMessagesRequest | PushObjectRequest | PullObjectRequest | ConfirmMessageReceivedRequest
    ):
        return True
    if message is None:
        return False
    if isinstance(request, PushMessagesRequest):
        return _announces(request, message)
    if isinstance(request, PullObjectRequest):
        return request.object_id in message.objects
    if isinstance(request, ConfirmMessageReceivedRequest):
        return request.message_object_id == message.metadata.message_id
    return _pushes(request, message)


def _in_its_own_name(request: Any, caller: Caller) -> bool:
    """Flower refuses the others too, and says as little of it as of a clock that is off."""
    if isinstance(request, ActivateNodeRequest):
        return bool(request.public_key == caller.public_key)
    number = request.node.node_id if hasattr(request, "node") else request.node_id
    return caller.number is None or bool(number == caller.number)


def _pushes(request: PushObjectRequest, message: Taken) -> bool:
    """Whether this is an object of the announced answer, large only if it can be the frame."""
    ids = message.answer
    if request.object_id not in ids or not _HEAD.match(request.object_content):
        return False
    frame = len(ids) == _OBJECTS and request.object_id == ids[-1]
    return frame or len(request.object_content) <= SMALL


def _announces(request: PushMessagesRequest, message: Taken) -> bool:
    """Whether this announces an answer to the message, or the same one again."""
    if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
        return False
    (answer,), (tree,) = request.messages_list, request.message_object_trees
    if not _mirrors(answer.metadata, message.metadata) or answer.content.ByteSize():
        return False
    ids, objects = _ids(tree), 1 if answer.HasField("error") else _OBJECTS
    if (
        len(ids) != objects
        or len(set(ids)) != objects
        or any(len(each.children) > 1 for each in iterate_object_tree(tree))
    ):
        return False
    if tree.object_id != answer.metadata.message_id:
        return False
    if message.announced is None:
        message.announced = request
    kept = message.announced
    return bool(answer == kept.messages_list[0] and tree == kept.message_object_trees[0])


def _mirrors(answer: Metadata, asked: Metadata) -> bool:
    """Whether an answer goes from whom the message went to, to whom it came from, in its run."""
    return (
        answer.run_id == asked.run_id
        and answer.reply_to_message_id == asked.message_id
        and answer.src_node_id == asked.dst_node_id
        and answer.dst_node_id == asked.src_node_id
        and math.isfinite(answer.created_at)
        and math.isfinite(answer.ttl)
    )


def _ids(tree: ObjectTree) -> list[str]:
    return [each.object_id for each in iterate_object_tree(tree)]


def _short(body: Body) -> bool:
    """Whether identifiers, hashes and keys in it are as long as those are, and as plain. Content, and what an error
    says, may be anything."""
    return all(
        _short_value(value)
        for field, value in body.ListFields()
        if field.name != "object_content" and not isinstance(body, Error)
    )


def _short_value(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _TEXT and value.isascii() and value.isprintable()
    if isinstance(value, bytes):
        return len(value) <= _KEY
    if isinstance(value, Body):
        return _short(value)
    return not isinstance(value, Iterable) or all(map(_short_value, value))
