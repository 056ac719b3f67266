"""For a port of this machine that is meant for this program's own children: others of its users are hung up on."""

import os
import socket
import struct
from pathlib import Path

_ESTABLISHED = "01"
_CONNECTIONS = Path("/proc/net/tcp")
Address = tuple[str, int]


class OwnProcesses(socket.socket):
    """A socket that listens on 127.0.0.1 and accepts connections of this process's user only. Others hold nothing of
    ours: they are closed as they are accepted, before TLS."""

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._others: set[Address] = set()

    def accept(self) -> tuple[socket.socket, Address]:
        """The next connection. Raises ConnectionAbortedError when it is somebody else's; asyncio takes the next one."""
        connection, peer = super().accept()
        if self._is_own(peer):
            return connection, peer
        connection.close()
        raise ConnectionAbortedError

    def _is_own(self, peer: Address) -> bool:
        """One look at the kernel's list, of some milliseconds, turns away all of other users that it shows, each once:
        a flood of theirs does not cost a look each."""
        if peer in self._others:
            self._others.remove(peer)
            return False
        owners = owners_of_connections_to(*self.getsockname())
        owner = owners.pop(peer, None)
        self._others = {each for each, uid in owners.items() if uid != os.geteuid()}
        return owner == os.geteuid()


def owners_of_connections_to(host: str, port: int) -> dict[Address, int]:
    """Whence each connection to host:port of this machine comes -> the user whose process holds it, as the kernel
    lists them."""
    to, owners = _as_listed(host, port), {}
    for line in _CONNECTIONS.read_text(encoding="ascii").splitlines()[1:]:
        if to not in line:
            continue
        # Columns: number, local, remote, state, queues, timer, retransmits, uid, timeout, inode. One that was closed
        # while its bytes are under way has no inode, and is said to be of user 0.
        _, local, remote, state, _, _, _, owner, _, inode = line.split()[:10]
        if (remote, state) == (to, _ESTABLISHED) and inode != "0":
            owners[_as_address(local)] = int(owner)
    return owners


def _as_listed(host: str, port: int) -> str:
    return f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}"


def _as_address(listed: str) -> Address:
    host, _, port = listed.partition(":")
    return socket.inet_ntoa(struct.pack("=I", int(host, 16))), int(port, 16)
