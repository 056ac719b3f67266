"""Answers of nodes in Flower's memory: the relay is given each when all of it is there and it is one in form, and what
is left of it is forgotten when its node takes the next message.

The relay would wait for a missing part for up to two hours, and end at what it cannot read, with the answers of
everybody else. Flower would keep what nobody asks for any more until the run ends.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flwr.app import ConfigRecord, Message
from flwr.supercore.inflatable.inflatable_object import (
    get_object_head_values_from_object_content,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from aggregator.bounded_http import Tell
from aggregator.carriers.bodies import SMALL, Taken
from aggregator.carriers.gate import Node

_FORM = ["Message", "RecordDict", "ConfigRecord"]
"""An answer's objects, each in the one before; of an error there is only the first."""
_VARINT = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_FRAME = re.compile(
    rb"ConfigRecord  [0-9]{1,20}\x00\n" + _VARINT + rb"\n\x05frame\x12" + _VARINT + b"2(" + _VARINT + b")"
)
"""What stands before the bytes of a frame: map entry, its key, its value of type bytes (flwr's recorddict.proto)."""


class Answers:
    """From its construction on, `state` gives whole answers only. `state`: Flower's, in memory."""

    def __init__(self, state: Any, nodes: Sequence[Node], tell: Tell) -> None:
        self._state, self._nodes, self._tell = state, nodes, tell
        self._give = state.get_message_res
        self._approved: dict[str, str] = {}  # message asked -> its answer
        self._malformed: set[str] = set()
        state.get_message_res = self.whole

    def whole(self, message_ids: set[str], run_id: int) -> list[Message]:
        """In place of Flower's `get_message_res`: answers to these messages, each once, and its own errors."""
        checked = {id for id in message_ids - self._malformed if self._deliverable(id)}
        # An answer may be announced between the two looks: what was not checked is not given. Of a message without
        # an answer Flower may have an error to tell.
        with self._state.lock:
            answers = self._state.message_ins_id_to_message_res_id
            ready = {id for id in checked if id not in answers or answers[id] == self._approved.get(id)}
            return list(self._give(ready, run_id))

    def over(self, member: str, message: Taken) -> None:
        """Its node took the next message: whatever it announced for this one goes, and it is named if parts of that
        never came."""
        if message.announced is None:
            return
        if self._forget(message.answer):
            self._tell(member, "unfinished")
        self._approved.pop(message.metadata.message_id, None)
        self._malformed.discard(message.metadata.message_id)

    def _deliverable(self, asked: str) -> bool:
        """Whether the answer to `asked` is not there yet, or is all there and one in form. A look at a large one takes
        long: what was found is remembered."""
        answer = self._state.message_ins_id_to_message_res_id.get(asked)
        if answer is None or answer == self._approved.get(asked):
            return True
        try:
            contents = self._stored(answer)
            if contents is None:
                return False
            wrong = not is_answer(answer, contents, asked)
        except Exception:  # whatever Flower says of objects that a stranger named
            wrong = True
        if wrong:
            self._malformed.add(asked)
            request = self._state.message_ins_store.get(asked)
            self._tell(self._named(request.metadata.dst_node_id) if request else "a node", "answer")
            self._forget([answer])
        else:
            self._approved[asked] = answer
        return not wrong

    def _stored(self, answer: str) -> dict[str, bytes] | None:
        store = self._state.object_store
        objects = iterate_object_tree(store.get_object_tree(answer))
        contents = {each.object_id: store.get(each.object_id) for each in objects}
        return contents if all(contents.values()) else None

    def _forget(self, answer: list[str]) -> bool:
        """Delete an answer's objects, from the first to the last: one that others name too stays. Whether parts of it
        were still to come."""
        state, (root, *_) = self._state, answer
        session = state._object_push_session_by_root.get(root)
        pushing = state._object_push_sessions.get(session)
        unfinished = pushing is not None and bool(pushing.pending_object_ids)
        if session is not None:
            state._cleanup_push_session(session, cleanup_messages=False)
        state._on_push_session_expired({root})
        for each in answer:
            state.object_store.delete(each)
        return unfinished

    def _named(self, id: int) -> str:
        for node in self._nodes:
            if self._state.get_node_id_by_public_key(base64.b64decode(node.as_sent)) == id:
                return node.member
        return f"node {id}"


def is_answer(id: str, contents: Mapping[str, bytes], asked: str) -> bool:
    """Whether these objects are an answer to the message `asked`: a frame in bytes, or an error. Nothing is inflated
    that could become larger than it is. Raises what Flower says of bytes that a stranger made up."""
    types, last = [], id
    while True:
        type_of, children, _ = get_object_head_values_from_object_content(contents[last])
        types.append(type_of)
        if len(children) != 1 or len(types) == len(_FORM):
            break
        (last,) = children
    if children or len(types) != len(contents) or types not in (_FORM, _FORM[:1]):
        return False
    if any(len(content) > SMALL for each, content in contents.items() if len(types) == 1 or each != last):
        return False
    if len(types) > 1 and not _is_frame(contents[last]):
        return False
    message = inflate_object_from_contents(id, dict(contents))
    if not isinstance(message, Message) or message.metadata.reply_to_message_id != asked:
        return False
    return message.has_error() or (len(types) > 1 and isinstance(message.content["answer"], ConfigRecord))


def _is_frame(content: bytes) -> bool:
    """Whether a ConfigRecord is one value in bytes, "frame", and nothing else: a list of numbers would become many
    times as large as it is."""
    found = _FRAME.match(content)
    return found is not None and _varint(found[1]) == len(content) - found.end()


def _varint(digits: bytes) -> int:
    """Protocol Buffers' integer: seven bits a byte, the least first."""
    return sum((digit & 0x7F) << 7 * place for place, digit in enumerate(digits))
