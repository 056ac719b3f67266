"""Flower's SuperLink, behind a gate: members reach what nodes call, and only this user's own processes the rest.

    python -m aggregator.carriers.superlink HOST PORT LOCAL_PORT TOLD CERTIFICATE KEY AUTHORITY

Standard input: JSON, {"nodes": member -> its node's public key (OpenSSH), "largest": bytes of the largest answer}. Who
does too much is written to the file descriptor TOLD, a JSON pair a line: who, and a key of COMPLAINTS.
"""

import base64
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.supercore.corestate import in_memory_corestate
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.superlink import main as flower

from aggregator.bounded_http import BoundedServer, Bounds
from aggregator.carriers.answers import Answers
from aggregator.carriers.gate import Gate, Node
from aggregator.carriers.own_process import OwnProcesses
from aggregator.carriers.superlink_log import one_line_each
from aggregator.complaints import Once

_SLOWEST = 8 << 10
"""Bytes a second, 64 kbit/s: what a request and its answer have to keep up, after the first minute."""
_HEAD_SECONDS = 60.0
"""From connecting until a request's head is there: a node on a machine that trains may be kept from it for so long."""
_FILES = 4096
_UPLOAD = "OBJECT_PUSH_SESSION_TTL_SECONDS"
"""Flower's name for the seconds in which all parts of an answer have to be there."""


def main(host: str, port: str, local_port: str, told: str, certificate: str, key: str, authority: str) -> None:
    """Serve until told to stop."""
    one_line_each()
    given: dict[str, Any] = json.load(sys.stdin)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, most), most))
    seconds = 60 + given["largest"] / _SLOWEST
    # Flower gives an answer's upload up after three minutes, however large it is.
    setattr(in_memory_corestate, _UPLOAD, max(seconds, getattr(in_memory_corestate, _UPLOAD)))
    bounds = Bounds(head_seconds=_HEAD_SECONDS, request_seconds=seconds)
    listening = socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    nodes = [_node(member, public) for member, public in given["nodes"].items()]
    program, tell = import_module("flwr.superlink.cli.flower_superlink"), _teller(int(told))

    def serve(lifespan_config: Any) -> None:
        app = flower.create_app(lifespan_config, program.SuperLinkLifespan)
        answers = Answers(app.state.linkstate_factory.state(), nodes, tell)
        gate = Gate(app, nodes, given["largest"], tell, answers.over)
        BoundedServer(gate, listening, Path(certificate), Path(key), bounds, tell)
        _serve_own_processes(app, int(local_port), certificate, key)

    setattr(program, "_run_superlink_http_api", serve)  # noqa: B010  # the name that it calls
    sys.argv = [
        "flower-superlink",
        *("--ssl-certfile", certificate, "--ssl-keyfile", key, "--ssl-ca-certfile", authority),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        *("--host", "127.0.0.1", "--port", local_port),
    ]
    program.flower_superlink()


def _serve_own_processes(app: Any, port: int, certificate: str, key: str) -> None:
    """All of Flower's interfaces, for the relay and Flower's own programs, until told to stop."""
    config = uvicorn.Config(
        app,
        loop="asyncio",  # uvloop does not ask OwnProcesses
        http="h11",
        ws="none",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run([OwnProcesses(socket.create_server(("127.0.0.1", port), backlog=2048))])


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
