"""The registry over HTTPS: two addresses, both binary frames (federation/registry.py). Runs in a thread of its own.

    GET  /v1/introduction    -> frame
    POST /v1/registry  frame -> frame

TLS 1.3 with the coordinator's own certificate. A request that is not well-formed gets 400 and nothing else.
"""

import os
import socket
import threading
import time
from importlib.metadata import version
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aggregator.registry import Registry
from federation.errors import RengoError
from federation.registry import VERSION_HEADER
from federation.wire import Malformed

LARGEST_REQUEST = 64 << 10
_WORDS = "registry", "参加受付"
_TYPE = "application/octet-stream"
_HEADERS = {VERSION_HEADER: version("rengo")}


class CannotListen(RengoError):
    """The {what} cannot listen on {host}:{port}: {detail}. Is another coordinator running, is the port taken, or
    below 1024?"""

    ja = (
        "{what_ja}が {host}:{port} で待ち受けできません（{detail}）。"
        "別の事務局が動作中でないか、ポートが使用中・1024 未満でないか確認してください。"
    )
    exit_code = 5


def require_free_port(host: str, port: int) -> None:
    """The carrier's port is free now, long before the carrier starts. Raises CannotListen."""
    _listening(host, port, "carrier", "通信路").close()


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

    def __init__(self, registry: Registry, host: str, port: int, certificate: Path, key: Path) -> None:
        self._registry, self._lock = registry, threading.Lock()
        routes = [
            Route("/v1/introduction", self._introduction, methods=["GET"]),
            Route("/v1/registry", self._answer, methods=["POST"]),
        ]
        listening = _listening(host, port, *_WORDS)
        config = uvicorn.Config(
            Starlette(routes=routes),
            ssl_certfile=str(certificate),
            ssl_keyfile=str(key),
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,  # whoever holds a connection open does not keep us from stopping
            limit_concurrency=200,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="registry", daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                listening.close()
                what, what_ja = _WORDS
                raise CannotListen(what=what, what_ja=what_ja, host=host, port=port, detail="the server ended at once")
            time.sleep(0.05)

    def stop(self) -> None:
        """No more answers; waits for those under way."""
        self._server.should_exit = True
        self._thread.join(timeout=10)

    async def _introduction(self, _: Request) -> Response:
        return Response(await run_in_threadpool(self._locked_introduction), media_type=_TYPE, headers=_HEADERS)

    async def _answer(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_REQUEST:
                return Response(status_code=413, headers={"Connection": "close"})  # there may be no end of it
        peer = request.client.host if request.client else "?"
        try:
            frame = await run_in_threadpool(self._locked_answer, bytes(body), peer)
        except Malformed:
            return Response(status_code=400, headers=_HEADERS)
        return Response(frame, media_type=_TYPE, headers=_HEADERS)

    def _locked_introduction(self) -> bytes:
        with self._lock:
            return self._registry.introduction()

    def _locked_answer(self, body: bytes, peer: str) -> bytes:
        with self._lock:
            return self._registry.answer(body, peer)
