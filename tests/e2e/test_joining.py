"""Join tokens between real programs: spent once, in time, and only where their fingerprint leads."""

import socket
import sqlite3
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from aggregator import tls
from aggregator.serving import open_registry
from federation.identity import COORDINATOR, Identity, Roster, SignedRoster
from federation.registry import Introduction, context
from federation.token import JoinToken, fingerprint
from federation.wire import write_frame
from tests.e2e.sites import CONSORTIUM, Consortium, Done, rengo

pytestmark = pytest.mark.e2e


def log_of(consortium: Consortium) -> list[str]:
    registry = open_registry(consortium.coordinator)
    events = [event for _, _, event in registry.log()]
    registry.close()
    return events


def join(folder: Path, token: Path) -> Done:
    """`rengo member join` in an empty folder `site` of `folder`."""
    (folder / "data").mkdir()
    return rengo("member", "join", "--token-file", token, "--home", folder / "site", "--data", folder / "data")


@pytest.mark.scenario(2)
@pytest.mark.parametrize("how", ["used", "expired", "unknown"])
def test_a_token_that_is_not_good_any_more_lets_nobody_in(how: str, consortium: Consortium, tmp_path: Path) -> None:
    name = f"late-{how}"
    token = sorted(consortium.folder.glob("*.token"))[0] if how == "used" else consortium.token(name)
    if how == "expired":
        with closing(sqlite3.connect(consortium.home / "registry.sqlite")) as registry, registry:
            past = "2026-01-01T00:00:00+00:00"
            assert registry.execute("UPDATE invitations SET expires = ? WHERE id = ?", (past, name)).rowcount == 1
    if how == "unknown":
        consortium.token(name)  # a newer invitation replaces the older one
    before = log_of(consortium)
    done = join(tmp_path, token)
    assert done.code == 4
    assert "Ask the coordinator for a new one" in done.facts["message"]
    assert not (tmp_path / "site").exists()
    assert log_of(consortium)[len(before) :] == ["refused join of joining: token-refused"]


@contextmanager
def impostor(introduction: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server with a certificate of its own that shows `introduction`: its address, and all bytes that it was sent."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.take()
            self.send_response(200)
            self.send_header("Content-Length", str(len(introduction)))
            self.end_headers()
            self.wfile.write(introduction)

        def do_POST(self) -> None:
            self.take()
            self.send_response(400)
            self.end_headers()

        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            received.append(f"{self.requestline}\n{self.headers}".encode() + body)

        def log_message(self, *_: object) -> None:
            """Not on the test's own output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = with_tls(server.socket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    server.server_close()


def with_tls(plain: socket.socket) -> ssl.SSLSocket:
    authority_key, authority = tls.make_authority("impostor")
    key, certificate = tls.make_server(authority_key, authority, ["127.0.0.1"])
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as both:
        Path(both.name).write_bytes(key + certificate)
        trust.load_cert_chain(both.name)
    return trust.wrap_socket(plain, server_side=True)


def other_consortium() -> bytes:
    """The introduction of a consortium with the same name and another root."""
    root, coordinator = Identity.create("root"), Identity.create(COORDINATOR)
    signed = SignedRoster.sign(Roster(CONSORTIUM, 1, coordinator.public_key, ()), root)
    _, authority = tls.make_authority("impostor")
    body = Introduction(root.public_key, signed.roster.to_bytes(), signed.signature, authority.decode(), "0")
    return write_frame([coordinator.sign(body, context(root.public_key), "anyone")])


def redirected(consortium: Consortium, url: str, path: Path) -> tuple[Path, str]:
    """A good token whose address was changed to `url`; its file, and its secret."""
    good = JoinToken.parse(consortium.token("redirected").read_text())
    path.write_text(JoinToken(url, good.root, good.secret).text())
    return path, good.secret


@pytest.mark.scenario(3)
def test_a_token_with_a_changed_fingerprint_sends_no_secret(consortium: Consortium, tmp_path: Path) -> None:
    good = JoinToken.parse(consortium.token("changed").read_text())
    changed = tmp_path / "token"
    changed.write_text(JoinToken(good.url, fingerprint(bytes(32)), good.secret).text())
    before = log_of(consortium)
    done = join(tmp_path, changed)
    assert (done.code, done.facts["error"]) == (4, "fingerprint-differs")
    assert good.secret not in done.out + done.err
    assert not (tmp_path / "site").exists()
    assert log_of(consortium) == before


@pytest.mark.scenario(3)
def test_another_consortium_at_the_tokens_address_is_sent_no_secret(consortium: Consortium, tmp_path: Path) -> None:
    with impostor(other_consortium()) as (url, received):
        token, secret = redirected(consortium, url, tmp_path / "token")
        done = join(tmp_path, token)
    assert (done.code, done.facts["error"]) == (4, "fingerprint-differs")
    assert [request.split(b" ")[:2] for request in received] == [[b"GET", b"/v1/introduction"]]
    assert secret.encode() not in b"".join(received)


@pytest.mark.scenario(3)
def test_a_server_that_repeats_the_true_introduction_is_sent_no_secret(consortium: Consortium, tmp_path: Path) -> None:
    """The root is right, the TLS certificate is the impostor's own: a proxy that inspects TLS looks like this."""
    true = httpx.get(f"{consortium.url}/v1/introduction", verify=False).content  # noqa: S501  # as the impostor does
    with impostor(true) as (url, received):
        token, secret = redirected(consortium, url, tmp_path / "token")
        done = join(tmp_path, token)
    assert (done.code, done.facts["error"]) == (5, "certificate-untrusted")
    assert secret.encode() not in b"".join(received)
    assert not (tmp_path / "site").exists()
