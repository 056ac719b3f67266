"""A client on a slow line gets all of a large answer, and nobody is called slow for being idle."""

import logging
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aggregator import tls
from aggregator.bounded_http import BoundedServer, Bounds
from tests.unit.site import free_port

SIZE, BYTES_A_SECOND = 2_000_000, 700_000
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def large(_: Any, __: Any, send: Any) -> None:
    """An application whose every answer is large, in one body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(SIZE).encode())]})
    await send({"type": "http.response.body", "body": bytes(range(250)) * (SIZE // 250)})


@dataclass
class Slow:
    """A server that is impatient before a request and not behind it, and what it told."""

    port: int
    trust: ssl.SSLContext
    told: list[tuple[str, str]] = field(default_factory=list)

    def connected(self) -> ssl.SSLSocket:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        plain.settimeout(10)
        plain.connect(("127.0.0.1", self.port))
        return self.trust.wrap_socket(plain, server_hostname="localhost")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Slow]:
    authority_key, authority = tls.make_authority("slow")
    key, certificate = tls.make_server(authority_key, authority, ["localhost"])
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "certificate").write_bytes(certificate)
    slow = Slow(free_port(), ssl.create_default_context(cadata=authority.decode()))
    listening = socket.create_server(("127.0.0.1", slow.port))
    files = tmp_path / "certificate", tmp_path / "key"
    server = BoundedServer(large, listening, *files, Bounds(1, 1, 0.5, 30), lambda *told: slow.told.append(told))
    yield slow
    server.stop()


def test_a_large_answer_is_not_cut_while_it_is_taken(served: Slow) -> None:
    with served.connected() as connection:
        connection.sendall(REQUEST)
        taken, began = b"", time.monotonic()
        while b"\r\n\r\n" not in taken or len(taken.partition(b"\r\n\r\n")[2]) < SIZE:
            taken += connection.recv(16384)
            time.sleep(max(0.0, len(taken) / BYTES_A_SECOND - (time.monotonic() - began)))
    assert taken.partition(b"\r\n\r\n")[2] == bytes(range(250)) * (SIZE // 250)
    assert time.monotonic() - began > 2
    assert not served.told


def test_a_connection_that_is_idle_between_two_requests_is_not_called_slow(served: Slow) -> None:
    with served.connected() as connection:
        for _ in range(2):
            connection.sendall(REQUEST)
            taken = 0
            while taken < SIZE:
                taken += len(connection.recv(65536))
            time.sleep(1)
    assert not served.told


def test_a_connection_that_never_says_anything_is_cut_and_told(served: Slow) -> None:
    with served.connected() as connection:
        assert connection.recv(1) == b""
    assert served.told == [("127.0.0.1", "slow")]


def test_no_request_is_logged_whatever_was_set_up_since(served: Slow, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("uvicorn.access").addHandler(caplog.handler)  # as Flower does when it starts its own server
    caplog.set_level(logging.DEBUG)
    try:
        with served.connected() as connection:
            connection.sendall(b"GET /" + b'"' * 1000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(100)
    finally:
        logging.getLogger("uvicorn.access").removeHandler(caplog.handler)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
