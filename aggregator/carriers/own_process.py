"""For a port of this machine that is meant for this program's own children: others of its users are not heard."""

import os
import socket
import struct
from pathlib import Path
from typing import Any

from aggregator.carriers.gate import App, Receive, Send, answer

_ESTABLISHED = "01"
_CONNECTIONS = Path("/proc/net/tcp")


class OwnProcesses:
    """An ASGI application that listens on 127.0.0.1, for connections of this process's user only."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """404 for others."""
        if scope["type"] == "http" and not of_user(os.geteuid(), *scope["client"], *scope["server"]):
            await answer(send, 404)
        else:
            await self._app(scope, receive, send)


def of_user(uid: int, host: str, port: int, to_host: str, to_port: int) -> bool:
    """Whether a process of this user holds the connection from host:port to to_host:to_port, as the kernel lists it."""
    ends = _as_listed(host, port), _as_listed(to_host, to_port)
    for line in _CONNECTIONS.read_text(encoding="ascii").splitlines()[1:]:
        # Columns: number, local, remote, state, queues, timer, retransmits, uid, timeout, inode. One that was closed
        # while its bytes are under way has no inode, and is said to be of user 0.
        _, *found, state, _, _, _, owner, _, inode = line.split()[:10]
        if (*found, state) == (*ends, _ESTABLISHED) and inode != "0":
            return int(owner) == uid
    return False


def _as_listed(host: str, port: int) -> str:
    return f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}"
