"""A site's Flower node (SuperNode), with one condition of ours: it runs the relay app of this wheel and no other.

    python -m clients.relay.node SUPERLINK CA NODE_KEY SOCKET SOCKET_KEY PORT [SUPEREXEC_KEY]

With SUPEREXEC_KEY, the app runs outside of the node: in a `flower-superexec` that knows this key, started by somebody
else, under another user and without a network. Without it, the node starts one itself.

Flower ships the app from the coordinator to the site. Its own check (`--trusted-entities`) wants signatures of
Flower's hub and refuses every local app, so the check is made here by hash: `get_fab` vouches for this wheel's app with
a key that lives as long as this process, and Flower's check refuses whatever has no such signature, before it runs.
"""

import base64
import ctypes
import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.cli.build import build_fab_from_disk
from flwr.proto.message_pb2 import PushObjectRequest, PushObjectResponse
from flwr.supercore.fab import Fab
from flwr.supercore.primitives.asymmetric_ed25519 import create_message_to_sign
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli.flower_supernode import flower_supernode
from flwr.supernode.fleet_http_client import FleetHttpClient

APP = Path(__file__).parent / "app"
_KEY_ID = "fpk_this_site"
POLL = 1.0
"""Seconds between two looks for a request, instead of Flower's 3. A look costs the coordinator some milliseconds."""
_TASK_POLL = {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.25"}
"""Seconds between two looks of the node's own child for something to start, instead of 1: local, and cheaper still."""
_ENDING_SECONDS = 5.0
"""What Flower gives itself where it ends on purpose."""
_TAKEN_SECONDS, _SLOWEST = 30.0, 8 << 10
"""How long a push may take from when this machine's kernel has its last byte: so much, and its bytes at so many a
second. Flower's own 30 s are not enough where megabytes of it still lie in buffers before a slow line; it then
sends all again. The coordinator's servers are as patient (`aggregator.carriers.superlink`)."""
_PR_SET_PDEATHSIG = 1  # a member that is killed must not leave its node behind


def main(
    superlink: str, authority: str, node_key: str, socket: str, socket_key: str, port: str, superexec_key: str = ""
) -> None:
    """Run the node until it is told to stop, or the member's service is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.environ.update(_TASK_POLL)
    vouching = Ed25519PrivateKey.generate()
    apart = ("--isolation", "process", "--superexec-auth-secret-file", superexec_key) if superexec_key else ()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="ascii") as trusted:
        public = vouching.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        trusted.write(f"{_KEY_ID}: {public}\n")
        trusted.flush()
        our_connection(vouching)
        sys.argv = [
            "flower-supernode",
            *("--superlink", superlink, "--root-certificates", authority, "--auth-supernode-private-key", node_key),
            *("--trusted-entities", trusted.name, "--host", "127.0.0.1", "--port", port),
            *("--node-config", f'socket="{socket}" key-file="{socket_key}"', *apart),
        ]
        flower_supernode()


class PatientClient(FleetHttpClient):
    """Flower's, that waits for a push to arrive over a slow line."""

    def PushObject(self, request: PushObjectRequest) -> PushObjectResponse:  # Flower's name
        """As Flower's, but for the time."""
        return self._unary_unary(
            path="/v1/fleet/push-object",
            rpc_method="/flwr.proto.Fleet/PushObject",
            request=request,
            response_type=PushObjectResponse,
            timeout=_TAKEN_SECONDS + len(request.object_content) / _SLOWEST,
        )


def our_connection(vouching: Ed25519PrivateKey) -> None:
    """Let every app that the node fetches pass through `vouched`, look for requests every `POLL` seconds, and be
    patient with large answers."""
    connect = fleet_http_connection.http_request_response
    expected = app_sha256()

    @contextmanager
    def connected(*arguments: Any, **options: Any) -> Iterator[tuple[Any, ...]]:
        with connect(*arguments, **options) as (node, receive, send, get_run, get_fab, *rest):

            def get_vouched(fab_hash: str, run_id: int) -> Fab:
                return vouched(get_fab(fab_hash, run_id), expected, vouching)

            def received() -> Any:
                # Flower sleeps when it is given nothing; so it is given something.
                while (request := receive()) is None:
                    time.sleep(POLL)
                return request

            yield (node, received, send, get_run, get_vouched, *rest)

    setattr(fleet_http_connection, "FleetHttpClient", PatientClient)  # noqa: B010
    setattr(start_client_internal, "http_request_response", connected)  # noqa: B010  # the name that it calls


def vouched(fab: Fab, expected: str, vouching: Ed25519PrivateKey) -> Fab:
    """`fab` as Flower's check wants to see it: signed when its content is the expected one, else without signature."""
    digest = hashlib.sha256(fab.content)
    if digest.hexdigest() != expected:
        return Fab(fab.hash_str, fab.content, {"valid_license": "Valid"})
    signed_at = int(time.time())
    signature = vouching.sign(create_message_to_sign(digest.digest(), signed_at))
    record = {"signed_at": signed_at, "signature": base64.urlsafe_b64encode(signature).decode()}
    return Fab(fab.hash_str, fab.content, {"valid_license": "Valid", _KEY_ID: json.dumps(record)})


def app_sha256() -> str:
    """SHA-256 of the app in this wheel, packed as Flower packs it."""
    return hashlib.sha256(build_fab_from_disk(APP)).hexdigest()


def end_for_certain(seconds: float = _ENDING_SECONDS) -> None:
    """Let this process end, whatever a thread of Flower's still waits for. After a 502 one can wait for ever, and so
    would whoever starts the node again when it has ended."""

    def end() -> None:
        time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


if __name__ == "__main__":
    os.umask(0o077)
    try:
        main(*sys.argv[1:])
    finally:
        end_for_certain()
