"""A proxy on loopback for tests, and the variables that name one."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.unit.site import free_port

PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY")


@dataclass
class Proxy:
    """A proxy of one thread: it answers CONNECT with `answer`, or connects where `answer` is empty."""

    answer: bytes = b""
    port: int = field(default_factory=free_port)
    asked: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def listening(self) -> Iterator["Proxy"]:
        with socket.create_server(("127.0.0.1", self.port)) as server:
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
        if self.answer:
            client.sendall(self.answer)
            client.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        try:
            upstream = socket.create_connection((host, int(port)))
        except OSError:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            client.close()
            return
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
        _pump(client, upstream)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
