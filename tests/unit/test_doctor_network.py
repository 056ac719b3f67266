"""`rengo member doctor` on the way out: each check against its real cause, on loopback."""

import base64
import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aggregator import tls as certificates
from clients import clock
from clients.clock import ClockWrong
from clients.doctor import network
from clients.doctor.network import NameUnknown, ProxyRefused, TlsInspected, Unreachable
from clients.registry_client import RegistryClient
from federation.identity import Identity
from federation.registry import Standing
from tests.unit.site import Site, consortium, free_port

SECRET = "s3cret&パス"  # noqa: S105


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
        upstream = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
        _pump(client, upstream)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tls_server(folder: Path, authority: tuple[bytes, bytes], host: str) -> Iterator[int]:
    """A server with a certificate for `host` that `authority` (key, certificate) signed; its port."""
    key, certificate = certificates.make_server(*authority, [host])
    (folder / "key.pem").write_bytes(key)
    (folder / "server.pem").write_bytes(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "key.pem")

    def serve(server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as secure:
                secure.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield int(server.getsockname()[1])


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority() -> tuple[bytes, bytes]:
    return certificates.make_authority("名古屋製造業コンソーシアム")


class TestProxy:
    def use(self, monkeypatch: pytest.MonkeyPatch, proxy: Proxy, user: str = "") -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{user}127.0.0.1:{proxy.port}")

    def test_none_is_fine(self) -> None:
        assert network.proxy("rengo.example", 443).result == "ok"

    def test_that_connects_is_fine_and_its_password_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: tuple[bytes, bytes]
    ) -> None:
        with Proxy().listening() as proxy, tls_server(tmp_path, authority, "127.0.0.1") as port:
            self.use(monkeypatch, proxy, "user:s3cret%26%E3%83%91%E3%82%B9@")
            check = network.proxy("127.0.0.1", port)
            assert network.tls("TLS", "127.0.0.1", port, authority[1].decode()).result == "ok"
        assert (check.result, check.exit_code) == ("ok", 0)
        assert f"127.0.0.1:{proxy.port}" in check.found["en"]
        assert "s3cret" not in str(check)
        assert "s3cret" not in repr(network.proxy_for("127.0.0.1", port))
        sent = base64.b64encode(f"user:{SECRET}".encode()).decode()
        assert all(f"CONNECT 127.0.0.1:{port} HTTP/1.1" in asked for asked in proxy.asked)
        assert all(f"Proxy-Authorization: Basic {sent}" in asked for asked in proxy.asked)

    @pytest.mark.parametrize(
        ("answer", "user", "advice", "advice_ja"),
        [
            (
                "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x",
                "",
                "USER:PASSWORD",
                "認証が必要",
            ),
            (
                "407 No\r\nProxy-Authenticate: Basic realm=x",
                "user:s3cret@",
                "password in HTTPS_PROXY is wrong",
                "違います",
            ),
            ("407 No\r\nProxy-Authenticate: NTLM", "", "It offers NTLM only", "認証方式は NTLM のみ"),
            (
                "407 No\r\nproxy-authenticate: Negotiate\r\nProxy-Authenticate: NTLM",
                "user:s3cret@",
                "It offers Negotiate, NTLM only",
                "cntlm",
            ),
            ("403 Forbidden", "", "permit CONNECT", "CONNECT の許可"),
            ("502 Bad Gateway", "", "permit CONNECT", "CONNECT の許可"),
        ],
        ids=str,
    )
    def test_that_refuses_is_named_with_what_to_do(
        self, monkeypatch: pytest.MonkeyPatch, answer: str, user: str, advice: str, advice_ja: str
    ) -> None:
        with Proxy(f"HTTP/1.1 {answer}\r\n\r\n".encode()).listening() as proxy:
            self.use(monkeypatch, proxy, user)
            with pytest.raises(ProxyRefused) as caught:
                network.proxy("rengo.example", 443)
        assert caught.value.exit_code == 5
        assert advice in str(caught.value)
        assert advice_ja in caught.value.text("ja")
        assert "s3cret" not in str(caught.value)
        assert "s3cret" not in str(caught.value.facts)
        assert answer[:3] in str(caught.value)

    def test_that_is_not_there_or_speaks_something_else_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.use(monkeypatch, Proxy())
        with pytest.raises(Unreachable, match="Connection refused"):
            network.proxy("rengo.example", 443)
        with Proxy(b"SSH-2.0-OpenSSH_9.2\r\n").listening() as proxy:
            self.use(monkeypatch, proxy)
            with pytest.raises(Unreachable, match="no HTTP proxy"):
                network.proxy("rengo.example", 443)

    def test_of_another_kind_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Proxy().listening() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"socks5://127.0.0.1:{proxy.port}")
            with pytest.raises(ProxyRefused, match="Only HTTP proxies"):
                network.proxy("rengo.example", 443)

    def test_is_not_used_where_no_proxy_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.use(monkeypatch, Proxy())
        monkeypatch.setenv("NO_PROXY", "rengo.example")
        assert network.proxy_for("rengo.example", 443) is None
        assert network.proxy_for("other.example", 443) is not None


class TestTls:
    def test_of_the_consortium_shows_its_fingerprint(self, tmp_path: Path, authority: tuple[bytes, bytes]) -> None:
        with tls_server(tmp_path, authority, "127.0.0.1") as port:
            check = network.tls("TLS", "127.0.0.1", port, authority[1].decode())
        der = ssl.PEM_cert_to_DER_cert((tmp_path / "server.pem").read_text())
        assert hashlib.sha256(der).hexdigest() in check.found["en"]
        assert "CN=rengo 名古屋製造業コンソーシアム" in check.found["ja"]

    def test_of_an_inspecting_proxy_names_its_issuer_and_the_host_to_exempt(
        self, tmp_path: Path, authority: tuple[bytes, bytes]
    ) -> None:
        inspecting = certificates.make_authority("Corporate TLS Inspection")
        with tls_server(tmp_path, inspecting, "127.0.0.1") as port, pytest.raises(TlsInspected) as caught:
            network.tls("TLS", "127.0.0.1", port, authority[1].decode())
        assert caught.value.exit_code == 5
        assert 'issued by "CN=rengo Corporate TLS Inspection"' in str(caught.value)
        assert f"Exempt 127.0.0.1:{port} from inspection" in str(caught.value)
        assert "検証は無効にしないこと" in caught.value.text("ja")

    def test_for_another_host_is_refused(self, tmp_path: Path, authority: tuple[bytes, bytes]) -> None:
        with tls_server(tmp_path, authority, "other.example") as port, pytest.raises(TlsInspected, match="not valid"):
            network.tls("TLS", "127.0.0.1", port, authority[1].decode())

    def test_of_a_server_without_tls_or_none_at_all(
        self, authority: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(network, "_SECONDS", 0.5)
        with Proxy(b"HTTP/1.1 400 Bad Request\r\n\r\n").listening() as plain, pytest.raises(Unreachable):
            network.tls("TLS", "127.0.0.1", plain.port, authority[1].decode())
        with pytest.raises(Unreachable, match="Connection refused"):
            network.tls("TLS", "127.0.0.1", free_port(), authority[1].decode())

    def test_of_a_carrier_that_does_not_listen_now_is_a_warning(self, authority: tuple[bytes, bytes]) -> None:
        check = network.carrier(f"127.0.0.1:{free_port()}", authority[1].decode())
        assert (check.result, check.exit_code) == ("warning", 0)
        assert "only while a job runs" in check.mend["en"]


def test_a_name_that_nobody_knows_is_5() -> None:
    assert network.name_server("localhost", 443).result == "ok"
    with pytest.raises(NameUnknown, match=r"no-such-host\.invalid") as caught:
        network.name_server("no-such-host.invalid", 443)
    assert caught.value.exit_code == 5


class Told(RegistryClient):
    """A registry whose clock differs by `ahead` seconds from this machine's."""

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead

    def standing(self, identity: Identity) -> Standing:
        return Standing(b"", b"", b"", "", int(time.time()) + self._ahead, "0.1.0")


class TestClock:
    @pytest.mark.parametrize(("ahead", "words"), [(-10, "10 s ahead of"), (400, "400 s behind of")])
    def test_that_is_off_is_6_with_the_offset_and_the_command(self, ahead: int, words: str) -> None:
        with pytest.raises(ClockWrong, match="timedatectl set-ntp true") as caught:
            network.clock_offset(Told(ahead), Identity.create("a"))
        assert caught.value.exit_code == 6
        # The coordinator tells whole seconds, so the offset is known to about half of one.
        seconds = caught.value.facts["seconds"]
        assert isinstance(seconds, int)
        assert abs(seconds - abs(ahead)) <= 1
        assert ("進んで" if ahead < 0 else "遅れて") in caught.value.text("ja")

    @pytest.mark.parametrize("ahead", [-3, 0, 290])
    def test_within_the_window_is_fine(self, ahead: int) -> None:
        check, _ = network.clock_offset(Told(ahead), Identity.create("a"))
        assert check.result == "ok"

    def test_window_is_the_one_that_is_documented(self) -> None:
        clock.require_right(5.0)
        clock.require_right(-300.0)
        for offset in (5.1, -300.1):
            with pytest.raises(ClockWrong):
                clock.require_right(offset)


def test_a_site_behind_a_proxy_joins_through_it_and_the_proxy_sees_the_coordinator_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consortium(tmp_path)
    with made.listening(), Proxy().listening() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        site = made.join("akatombo-seiki")
        facts = site.run("doctor", "--quick")
    assert {asked.split()[1] for asked in proxy.asked} <= {f"127.0.0.1:{made.port}", f"127.0.0.1:{made.port + 1}"}
    found = {check["check"]: check["result"] for check in facts["checks"]}
    assert found["proxy"] == found["TLS"] == found["clock"] == "ok"


def test_a_proxy_that_refuses_ends_the_call_with_5_and_hides_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = consortium(tmp_path)
    with made.listening():
        site = made.join("akatombo-seiki")
        with Proxy(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: NTLM\r\n\r\n"
        ).listening() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@127.0.0.1:{proxy.port}")
            facts = site.run("doctor", "--quick", exit_code=5)
            with pytest.raises(Exception, match="the proxy answers 407") as caught:
                site.run("review")
    assert caught.value.exit_code == 5  # type: ignore[attr-defined]
    assert "s3cret" not in str(caught.value)
    rows = {check["check"]: check for check in facts["checks"]}
    assert rows["proxy"]["exit_code"] == 5
    assert "NTLM only" in rows["proxy"]["found"]
    assert "TLS" not in rows  # what lies behind is not tried
    assert "s3cret" not in str(facts)
    assert Site(site.path).run("journal", "verify")["rows"] > 0
