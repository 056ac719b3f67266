"""HTTPS servers that strangers reach: how many connections one address may hold open, and how long a request may take.

uvicorn waits for ever for a connection to say something, for a head or a body to end, and for its answer to be taken.
"""

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_quiet = logging.getLogger(f"{__name__}.uvicorn")
_quiet.setLevel(logging.ERROR)  # a line for each request that is none would be as many as strangers like

_PIECE = 64 << 10
"""Bytes of an answer that are handed over at a time, and that may lie here for a client that is slow to take them."""

Tell = Callable[[str, str], None]
"""Hears who did too much (an address, or a member), and of what: a key of COMPLAINTS."""


class Ended(Exception):
    """The server did not start."""


@dataclass(frozen=True)
class Bounds:
    """Connections open at a time, of one address and of all; seconds until a request's head is there, and from then on
    until its answer is taken."""

    of_one: int = 100
    of_all: int = 600
    head_seconds: float = 10
    request_seconds: float = 60


class BoundedServer:
    """An ASGI application over TLS at `listening`, in a thread of its own. Starts on construction, and is there when
    that returns. Raises Ended."""

    def __init__(
        self, app: Any, listening: socket.socket, certificate: Path, key: Path, bounds: Bounds, tell: Tell
    ) -> None:
        self._admitting = _Admitting(listening, bounds, tell)
        config = uvicorn.Config(
            in_pieces(app),
            loop="asyncio",  # uvloop does not ask _Admitting
            http=partial(_Impatient, bounds, tell),  # type: ignore[arg-type]  # it is called with what is missing
            ssl_certfile=str(certificate),
            ssl_keyfile=str(key),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who connects is who it is: nobody else's word for it
            ws="none",
            lifespan="off",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,  # whoever holds a connection open does not keep us from stopping
        )
        config.load()
        assert config.ssl is not None  # noqa: S101  # a certificate was given
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._admitting],), name="https", daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                self._admitting.close()
                raise Ended
            time.sleep(0.05)

    @property
    def connections(self) -> int:
        """How many are open now."""
        return self._admitting.open.total()

    def stop(self) -> None:
        """No more answers; waits for those under way."""
        self._server.should_exit = True
        self._thread.join(timeout=10)


def in_pieces(app: Any) -> Any:
    """`app`, whose answers are over when they are taken, all but the last pieces. uvicorn takes a body as a whole;
    then the connection passes for idle while most of it is still on its way, and is closed."""

    async def apart(scope: Any, receive: Any, send: Any) -> None:
        async def send_apart(message: Any) -> None:
            body = message.get("body", b"") if message["type"] == "http.response.body" else b""
            for start in range(0, len(body) - _PIECE, _PIECE):
                await send({**message, "body": body[start : start + _PIECE], "more_body": True})
            rest = (len(body) - 1) // _PIECE * _PIECE if body else 0
            await send({**message, "body": body[rest:]} if rest else message)

        await app(scope, receive, send_apart)

    return apart


class _Admitting(socket.socket):
    """A listening socket that hangs up at once, before TLS, on whoever holds too many connections open."""

    def __init__(self, listening: socket.socket, bounds: Bounds, tell: Tell) -> None:
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self._bounds, self._tell = bounds, tell
        self.open: Counter[str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        connection, peer = super().accept()
        address = str(peer[0])
        full = self.open.total() >= self._bounds.of_all
        if full or self.open[address] >= self._bounds.of_one:
            self._tell(address, "full" if full else "connections")
            connection.close()
            raise ConnectionAbortedError  # asyncio takes the next one
        self.open[address] += 1
        return _Counted(connection, partial(self._left, address)), peer

    def _left(self, address: str) -> None:
        self.open[address] -= 1
        if not self.open[address]:
            del self.open[address]


class _Counted(socket.socket):
    """A connection that says when it is closed."""

    def __init__(self, connection: socket.socket, closed: Callable[[], None]) -> None:
        super().__init__(connection.family, connection.type, connection.proto, fileno=connection.detach())
        self._when_closed: Callable[[], None] | None = closed

    def close(self) -> None:
        closed, self._when_closed = self._when_closed, None
        super().close()
        if closed is not None:
            closed()


class _Impatient(H11Protocol):
    """A connection that is cut when a request takes longer than it may."""

    def __init__(self, bounds: Bounds, tell: Tell, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = _quiet
        self.access_log = False  # uvicorn asks its loggers instead of its settings, and a program may set them up later
        self._bounds, self._tell = bounds, tell
        self._cutting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_PIECE)
        self._cut_in(self._bounds.head_seconds)

    def data_received(self, data: bytes) -> None:
        before = self.conn.their_state
        super().data_received(data)
        if before is h11.IDLE and self.conn.their_state is not h11.IDLE:  # its head is whole
            self._cut_in(self._bounds.request_seconds)
        elif before is h11.IDLE and self._cutting is None:  # its head has begun
            self._cut_in(self._bounds.head_seconds)

    def on_response_complete(self) -> None:
        # Until more is said, nobody is slow: uvicorn closes what is idle.
        self._cut_in(None)
        super().on_response_complete()
        if self.conn.their_state is not h11.IDLE:  # a request that came behind the last one
            self._cut_in(self._bounds.request_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cut_in(None)
        super().connection_lost(exc)

    def _cut_in(self, seconds: float | None) -> None:
        if self._cutting is not None:
            self._cutting.cancel()
        self._cutting = None if seconds is None else self.loop.call_later(seconds, self._cut)

    def _cut(self) -> None:
        self._tell(self.client[0] if self.client else "?", "slow")
        self.transport.abort()
