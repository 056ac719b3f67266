"""What the bodies of a node's calls say, read with Flower's own classes: whether it has to do with the one message that
the node took last.

Flower believes a body: whose name an answer is in, whom it goes to, what it is made of and which message is deleted.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flwr.proto.error_pb2 import Error
from flwr.proto.fleet_pb2 import PullMessagesResponse, PushMessagesRequest
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

_TEXT, _KEY = 128, 1024
"""Bytes of an identifier or a hash; bytes of a public key. Flower writes them into its log."""
_OBJECTS = 3
"""What an answer is made of, each in the one before: message, record and frame. An error is in the message."""


@dataclass
class Taken:
    """The message that a node took last: what is said of it, the identifiers of its objects, and how it is answered."""

    metadata: Metadata
    objects: frozenset[str]
    announced: PushMessagesRequest | None = None


def taken(response: bytes) -> Taken | None:
    """The message in Flower's answer to pull-messages; None: there is none for this node."""
    pulled = PullMessagesResponse.FromString(response)
    if not pulled.messages_list:
        return None
    return Taken(pulled.messages_list[0].metadata, frozenset(_ids(pulled.message_object_trees[0])))


def belongs(path: str, body: bytes, message: Taken | None) -> bool:
    """Whether this body is one of the call at `path`, and has to do with the message that the node took. The first
    answer that does is kept as announced."""
    try:
        request = PROTOBUF_REQUEST_TYPES["POST", path].FromString(body)
    except DecodeError:
        return False
    if not _short(request):
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
    return message.announced is not None and request.object_id in _ids(message.announced.message_object_trees[0])


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
    """Whether no identifier, hash or key in it is longer than those are. Content, and what an error says, may be."""
    return all(
        _short_value(value)
        for field, value in body.ListFields()
        if field.name != "object_content" and not isinstance(body, Error)
    )


def _short_value(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _TEXT
    if isinstance(value, bytes):
        return len(value) <= _KEY
    if isinstance(value, Body):
        return _short(value)
    return not isinstance(value, Iterable) or all(map(_short_value, value))
