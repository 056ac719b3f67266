"""The registry over HTTPS: two addresses, both binary frames (federation/registry.py). Runs in a thread of its own.

    GET  /v1/introduction    -> frame
    POST /v1/registry  frame -> frame

TLS 1.3 with the coordinator's own certificate. A request that is not well-formed gets 400 and nothing else. What one
address may ask for, hold open and take its time with is bounded here; what one member may ask for, by the registry.
"""

import errno
import logging
import os
import socket
import threading
import time
from importlib.metadata import version
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from aggregator.allowance import Allowance
from aggregator.bounded_http import BoundedServer, Bounds, Ended
from aggregator.complaints import COMPLAINTS, Once
from aggregator.registry import Registry
from federation.errors import RengoError
from federation.registry import VERSION_HEADER
from federation.wire import Malformed

_log = logging.getLogger(__name__)

LARGEST_REQUEST = 64 << 10
REQUESTS = 100, 5.0
"""Of one address: at once, and more each second. A member asks a few times when it starts, and then once in minutes."""
_WORDS = "registry", "参加受付"
_TYPE = "application/octet-stream"
_HEADERS = {VERSION_HEADER: version("rengo")}
BOUNDS = Bounds(request_seconds=30)
LEFT_BEHIND_SECONDS = 15.0


class CannotListen(RengoError):
    """The {what} cannot listen on {host}:{port}: {detail}. Is another coordinator running, is the port taken, or
    below 1024?"""

    ja = (
        "{what_ja}が {host}:{port} で待ち受けできません（{detail}）。"
        "別の事務局が動作中でないか、ポートが使用中・1024 未満でないか確認してください。"
    )
    exit_code = 5


def require_free_port(host: str, port: int) -> None:
    """The carrier's port is free, long before the carrier starts. The SuperLink of a coordinator that was killed holds
    it for some seconds: so long it is waited for. Raises CannotListen."""
    until = time.monotonic() + LEFT_BEHIND_SECONDS
    while True:
        try:
            _listening(host, port, "carrier", "通信路").close()
        except CannotListen as error:
            taken = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
            if not taken or time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return


def _listening(host: str, port: int, what: str, what_ja: str) -> socket.socket:
    """Raises CannotListen."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        # `strerror` repeats the address, `os.strerror` knows nothing of names that cannot be looked up.
        detail = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise CannotListen(what=what, what_ja=what_ja, host=host, port=port, detail=detail) from error


class RegistryServer:
    """Starts on construction, and is there when that returns. Raises CannotListen."""

    def __init__(
        self, registry: Registry, host: str, port: int, certificate: Path, key: Path, bounds: Bounds = BOUNDS
    ) -> None:
        self._registry, self._lock = registry, threading.Lock()
        self._requests, self._once = Allowance(*REQUESTS), Once()
        routes = [
            Route("/v1/introduction", self._introduction, methods=["GET"]),
            Route("/v1/registry", self._answer, methods=["POST"]),
        ]
        listening = _listening(host, port, *_WORDS)
        app = Starlette(routes=routes)
        try:
            self._server = BoundedServer(app, listening, certificate, key, bounds, self._tell)
        except Ended as error:
            what, what_ja = _WORDS
            raise CannotListen(
                what=what, what_ja=what_ja, host=host, port=port, detail="the server ended at once"
            ) from error

    def stop(self) -> None:
        """No more answers; waits for those under way."""
        self._server.stop()

    async def _introduction(self, request: Request) -> Response:
        if not self._may_ask(_peer(request)):
            return _TOO_MANY
        return Response(await run_in_threadpool(self._locked_introduction), media_type=_TYPE, headers=_HEADERS)

    async def _answer(self, request: Request) -> Response:
        peer = _peer(request)
        if not self._may_ask(peer):
            return _TOO_MANY
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_REQUEST:
                    return Response(status_code=413, headers={"Connection": "close"})  # there may be no end of it
            frame = await run_in_threadpool(self._locked_answer, bytes(body), peer)
        except (Malformed, ClientDisconnect):
            return Response(status_code=400, headers=_HEADERS)
        return Response(frame, media_type=_TYPE, headers=_HEADERS)

    def _may_ask(self, peer: str) -> bool:
        if not self._requests.take(peer):
            self._tell(peer, "requests")
            return False
        return True

    def _tell(self, who: str, code: str) -> None:
        if self._once.may_tell(who, code):
            _log.warning("registry: %s: %s", who, COMPLAINTS[code])

    def _locked_introduction(self) -> bytes:
        with self._lock:
            return self._registry.introduction()

    def _locked_answer(self, body: bytes, peer: str) -> bytes:
        with self._lock:
            return self._registry.answer(body, peer)


_TOO_MANY = Response(status_code=429, headers={"Connection": "close"})


def _peer(request: Request) -> str:
    return request.client.host if request.client else "?"
