"""A local port is for this user's own processes: others are hung up on as they come."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aggregator.carriers import own_process
from aggregator.carriers.own_process import OwnProcesses, owners_of_connections_to

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def connected(port: int, user: int | None = None) -> socket.socket:
    """A connection of this user: a socket belongs to whoever makes it."""
    us = os.geteuid()
    os.seteuid(us if user is None else user)
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=10)
    finally:
        os.seteuid(us)


@pytest.fixture
def listening() -> Iterator[OwnProcesses]:
    with OwnProcesses(socket.create_server(("127.0.0.1", 0))) as server:
        yield server


def test_a_connection_of_this_machine_has_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, connected(server.getsockname()[1]) as client:
        accepted, peer = server.accept()
        with accepted:
            assert owners_of_connections_to(*server.getsockname()) == {peer: os.geteuid()}
            client.close()
            assert owners_of_connections_to(*server.getsockname()) == {}  # whoever it was, it is gone


def test_a_connection_of_our_own_is_accepted(listening: OwnProcesses) -> None:
    with connected(listening.getsockname()[1]) as client:
        accepted, peer = listening.accept()
        with accepted:
            assert peer == client.getsockname()


@as_root
def test_a_connection_of_another_user_is_closed_as_it_comes(listening: OwnProcesses) -> None:
    port = listening.getsockname()[1]
    with connected(port, NOBODY) as other, connected(port) as ours:
        with pytest.raises(ConnectionAbortedError):
            listening.accept()
        assert other.recv(1) == b""
        accepted, peer = listening.accept()
        with accepted:
            assert peer == ours.getsockname()


@as_root
def test_a_flood_of_another_user_does_not_cost_a_look_each(
    listening: OwnProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(own_process, "owners_of_connections_to", counting(looks))
    port = listening.getsockname()[1]
    flood = [connected(port, NOBODY) for _ in range(20)]
    for _ in flood:
        with pytest.raises(ConnectionAbortedError):
            listening.accept()
    assert len(looks) == 1
    for each in flood:
        each.close()


def counting(looks: list[int]) -> Callable[[str, int], dict[tuple[str, int], int]]:
    """The look at the kernel's list, noted."""

    def look(host: str, port: int) -> dict[tuple[str, int], int]:
        looks.append(port)
        return owners_of_connections_to(host, port)

    return look


def test_the_kernels_list_is_where_it_was() -> None:
    assert Path("/proc/net/tcp").read_text(encoding="ascii").split()[:3] == ["sl", "local_address", "rem_address"]
