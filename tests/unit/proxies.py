"""A proxy on loopback for tests, and the variables that name one."""

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.unit.site import free_port

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY")

NOT_AUTHORIZED = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"


@dataclass
class Proxy:
    """A proxy of one thread: it answers CONNECT with `answer`, or connects where `answer` is empty. `user`: who may,
    as user:password; empty, anybody."""

    answer: bytes = b""
    port: int = field(default_factory=free_port)
    asked: list[str] = field(default_factory=list)
    host: str = "127.0.0.1"
    user: str = ""
    _open: list[socket.socket] = field(default_factory=list)

    @property
    def places(self) -> set[str]:
        """host:port of every connection that was asked for."""
        return {head.split()[1] for head in self.asked}

    def hang_up(self) -> None:
        """End every connection through it."""
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def listening(self) -> Iterator["Proxy"]:
        with socket.create_server((self.host, self.port)) as server:
            threading.Thread(target=self._serve, args=(server,), daemon=True).start()
            yield self

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        self.asked.append(head.decode())
        authorized = base64.b64encode(self.user.encode()).decode() in head.decode()
        if self.answer or not authorized:
            client.sendall(self.answer or NOT_AUTHORIZED)
            client.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        try:
            upstream = socket.create_connection((host, int(port)))
        except OSError:
            client.sendall(BAD_GATEWAY)
            client.close()
            return
        self._open += [client, upstream]
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
        _pump(client, upstream)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
