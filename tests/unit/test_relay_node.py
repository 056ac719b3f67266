"""The node vouches for the wheel's own relay alone, looks for requests at our pace, and ends when it has to."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.cli.build import build_fab_from_disk
from flwr.supercore.fab import Fab
from flwr.supernode import fleet_http_connection, start_client_internal

from clients.relay import node

OURS = build_fab_from_disk(node.APP)


def trusted(key: Ed25519PrivateKey) -> dict[str, str]:
    return {"fpk_this_site": key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()}


def passes(content: bytes) -> bool:
    """Whether Flower's own check lets an app run that arrived at our node."""
    key = Ed25519PrivateKey.generate()
    fab = node.vouched(Fab("whatever the coordinator says", content, {}), node.app_sha256(), key)
    return start_client_internal._verify_fab(fab, trusted(key))


def with_a_comment(fab: bytes) -> bytes:
    """The app with one comment more in its client side, packed again."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(fab)) as old, zipfile.ZipFile(packed, "w") as new:
        for item in old.infolist():
            data = old.read(item)
            new.writestr(item, data + b"# \n" if item.filename.endswith("client_app.py") else data)
    return packed.getvalue()


def test_the_wheels_own_app_passes() -> None:
    assert passes(OURS)
    assert build_fab_from_disk(node.APP) == OURS  # packing it again gives the same bytes


@pytest.mark.parametrize("position", [0, len(OURS) // 2, len(OURS) - 1])
def test_a_changed_byte_does_not_pass(position: int) -> None:
    assert not passes(OURS[:position] + bytes([OURS[position] ^ 1]) + OURS[position + 1 :])


def test_a_comment_more_or_a_byte_at_the_end_does_not_pass() -> None:
    assert not passes(with_a_comment(OURS))
    assert not passes(OURS + b"\0")
    assert not passes(b"")


def test_what_others_have_signed_does_not_pass() -> None:
    """Signatures that came with the app are not looked at."""
    theirs, ours = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    other = with_a_comment(OURS)
    record = node.vouched(Fab("", OURS, {}), node.app_sha256(), theirs).verifications
    fab = node.vouched(Fab("", other, record), node.app_sha256(), ours)
    assert not start_client_internal._verify_fab(fab, trusted(ours) | {"fpk_hub": trusted(theirs)["fpk_this_site"]})


def test_requests_are_looked_for_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower would sleep for 3 s as soon as it is given nothing."""
    looks = [None, None, "request"]

    @contextmanager
    def connection(*_: Any, **__: Any) -> Iterator[tuple[Any, ...]]:
        yield (1, lambda: looks.pop(0), "send", "get_run", lambda *_: Fab("", b"", {}), "pull", "push", "confirm")

    monkeypatch.setattr(fleet_http_connection, "http_request_response", connection)
    monkeypatch.setattr(node, "POLL", 0.001)
    monkeypatch.setattr(start_client_internal, "http_request_response", None)
    node.our_connection(Ed25519PrivateKey.generate())
    with start_client_internal.http_request_response() as (number, receive, _, _, get_fab, *rest):
        assert (number, receive(), rest) == (1, "request", ["pull", "push", "confirm"])
        assert looks == []
        assert get_fab("hash", 1).verifications == {"valid_license": "Valid"}  # fetched, and not vouched for


def test_a_thread_that_waits_for_ever_does_not_keep_a_node_that_failed_from_ending() -> None:
    failing = (
        "import threading; from clients.relay import node\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "try: raise ValueError('502')\n"
        "finally: node.end_for_certain(0.1)"
    )
    ended = subprocess.run([sys.executable, "-c", failing], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "ValueError: 502" in ended.stderr
