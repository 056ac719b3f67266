"""What answers a site's calls may be anybody: it costs the site bounded memory and time."""

import contextlib
import gzip
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from aggregator import tls
from clients import registry_client
from clients.registry_client import RegistryUnreachable, VersionDiffers, introduce
from federation.registry import VERSION_HEADER
from federation.token import JoinToken
from federation.wire import write_frame


@contextlib.contextmanager
def answering(
    folder: Path, *parts: bytes, encoding: str = "identity", pause: float = 0.0, status: int = 200, rengo: str = ""
) -> Iterator[JoinToken]:
    """A token for a server that answers each request with `parts`, `pause` seconds apart, in the name of a version."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Encoding", encoding)
            self.send_header(VERSION_HEADER, rengo)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client has gone
                for part in parts:
                    self.wfile.write(part)
                    time.sleep(pause)

        def log_message(self, *_: object) -> None:
            """Nothing to the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    key, certificate = tls.make_server(*tls.make_authority("c"), ["127.0.0.1"])
    (folder / "server.pem").write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield JoinToken.create(f"https://127.0.0.1:{server.server_port}", bytes(32))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_answer_without_an_end_is_given_up_at_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_client, "_LARGEST", 1 << 16)
    with (
        answering(tmp_path, *[bytes(1 << 16)] * 100) as token,
        pytest.raises(RegistryUnreachable, match="does not end"),
    ):
        introduce(token, lambda _: None)


def test_an_answer_that_drips_is_given_up_after_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_client, "_SECONDS", 0.3)
    began = time.monotonic()
    with answering(tmp_path, *[b"R"] * 40, pause=0.05) as token:
        with pytest.raises(RegistryUnreachable, match="does not end"):
            introduce(token, lambda _: None)
        assert time.monotonic() - began < 1.9  # it drips for two


def test_a_compressed_answer_is_not_unpacked(tmp_path: Path) -> None:
    """A few bytes could become gigabytes. Unpacked this one would be a frame, without the message that it needs."""
    with (
        answering(tmp_path, gzip.compress(write_frame([])), encoding="gzip") as token,
        pytest.raises(RegistryUnreachable, match="no rengo coordinator"),
    ):
        introduce(token, lambda _: None)


@pytest.mark.parametrize(("status", "content"), [(400, b""), (200, b"RNGO\x02\x01tomorrow")], ids=["400", "frame"])
def test_a_coordinator_whose_frames_have_another_form_is_told_by_its_version(
    status: int, content: bytes, tmp_path: Path
) -> None:
    with answering(tmp_path, content, status=status, rengo="9.9.9") as token, pytest.raises(VersionDiffers) as caught:
        introduce(token, lambda _: None)
    assert caught.value.exit_code == 3
    for language in ("en", "ja"):
        assert all(found in caught.value.text(language) for found in ("rengo 9.9.9", f"rengo {version('rengo')}"))


@pytest.mark.parametrize("rengo", ["", version("rengo")])
def test_what_refuses_without_another_version_is_unreachable(rengo: str, tmp_path: Path) -> None:
    with answering(tmp_path, status=400, rengo=rengo) as token, pytest.raises(RegistryUnreachable, match="answers 400"):
        introduce(token, lambda _: None)
