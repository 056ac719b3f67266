"""Flower's SuperLink, behind a gate: members reach what nodes call, and only this user's own processes the rest.

    python -m aggregator.carriers.superlink HOST PORT LOCAL_PORT TOLD CERTIFICATE KEY AUTHORITY

Standard input: JSON, {"nodes": member -> its node's public key (OpenSSH), "largest": bytes of the largest answer}. Who
does too much is written to the file descriptor TOLD, a JSON pair a line: who, and a key of COMPLAINTS.
"""

import base64
import json
import os
import re
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.app import ConfigRecord, Message
from flwr.supercore.corestate import in_memory_corestate
from flwr.supercore.inflatable.inflatable_object import (
    get_object_head_values_from_object_content,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.superlink import main as flower
from flwr.superlink.cli.flower_superlink import flower_superlink

from aggregator.bounded_http import BoundedServer, Bounds, Tell
from aggregator.carriers.gate import SMALL, Gate, Node
from aggregator.carriers.own_process import OwnProcesses
from aggregator.complaints import Once

_SLOWEST = 8 << 10
"""Bytes a second, 64 kbit/s: what a request and its answer have to keep up, after the first minute."""
_HEAD_SECONDS = 60.0
"""From connecting until a request's head is there: a node on a machine that trains may be kept from it for so long."""
_FILES = 4096
_UPLOAD = "OBJECT_PUSH_SESSION_TTL_SECONDS"
"""Flower's name for the seconds in which all parts of an answer have to be there."""

_FORM = ["Message", "RecordDict", "ConfigRecord"]
"""An answer's objects, each in the one before; of an error there is only the first."""
_VARINT = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_FRAME = re.compile(
    rb"ConfigRecord  [0-9]{1,20}\x00\n" + _VARINT + rb"\n\x05frame\x12" + _VARINT + b"2(" + _VARINT + b")"
)
"""What stands before the bytes of a frame: map entry, its key, its value of type bytes (flwr's recorddict.proto)."""


def main(host: str, port: str, local_port: str, told: str, certificate: str, key: str, authority: str) -> None:
    """Serve until told to stop."""
    given: dict[str, Any] = json.load(sys.stdin)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, most), most))
    seconds = 60 + given["largest"] / _SLOWEST
    # Flower gives an answer's upload up after three minutes, however large it is.
    setattr(in_memory_corestate, _UPLOAD, max(seconds, getattr(in_memory_corestate, _UPLOAD)))
    listening = socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    nodes = [_node(member, public) for member, public in given["nodes"].items()]
    create, tell = flower.create_app, _teller(int(told))

    def behind_a_gate(*arguments: Any) -> OwnProcesses:
        app = create(*arguments)
        give_whole_answers_only(app.state.linkstate_factory.state(), nodes, tell)
        gate = Gate(app, nodes, given["largest"], tell)
        BoundedServer(
            gate,
            listening,
            Path(certificate),
            Path(key),
            Bounds(head_seconds=_HEAD_SECONDS, request_seconds=seconds),
            tell,
        )
        return OwnProcesses(app)

    setattr(flower, "create_app", behind_a_gate)  # noqa: B010  # the name that it calls
    sys.argv = [
        "flower-superlink",
        *("--ssl-certfile", certificate, "--ssl-keyfile", key, "--ssl-ca-certfile", authority),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        *("--host", "127.0.0.1", "--port", local_port),
    ]
    flower_superlink()


def give_whole_answers_only(state: Any, nodes: list[Node], tell: Tell) -> None:
    """From now on the relay is given an answer when all of it is there and it is one in form. It would wait for the
    rest for up to two hours, and end at what it cannot read, with the answers of everybody else."""
    give, malformed = state.get_message_res, set[str]()

    def whole(message_ids: set[str], run_id: int) -> list[Message]:
        return list(give({id for id in message_ids if id not in malformed and deliverable(id)}, run_id))

    def deliverable(asked: str) -> bool:
        answer = state.message_ins_id_to_message_res_id.get(asked)
        if answer is None:
            return True  # Flower may have an error to tell about it
        try:
            contents = stored(answer)
            if contents is None:
                return False
            wrong = not is_answer(answer, contents, asked)
        except Exception:  # whatever Flower says of objects that a stranger named
            wrong = True
        if wrong:
            malformed.add(asked)
            request = state.message_ins_store.get(asked)
            tell(_named(state, nodes, request.metadata.dst_node_id) if request else "a node", "answer")
        return not wrong

    def stored(answer: str) -> dict[str, bytes] | None:
        objects = iterate_object_tree(state.object_store.get_object_tree(answer))
        contents = {each.object_id: state.object_store.get(each.object_id) for each in objects}
        return contents if all(contents.values()) else None

    state.get_message_res = whole


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


def _named(state: Any, nodes: list[Node], id: int) -> str:
    for node in nodes:
        if state.get_node_id_by_public_key(base64.b64decode(node.as_sent)) == id:
            return node.member
    return f"node {id}"


def _node(member: str, public: str) -> Node:
    key = load_ssh_public_key(public.encode())
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError("a node's key is on an elliptic curve")  # the registry takes no other
    return Node(member, key, base64.b64encode(public_key_to_bytes(key)))


def _teller(told: int) -> Callable[[str, str], None]:
    once = Once()

    def tell(who: str, code: str) -> None:
        if once.may_tell(who, code):
            os.write(told, json.dumps([who, code]).encode() + b"\n")

    return tell


if __name__ == "__main__":
    main(*sys.argv[1:])
