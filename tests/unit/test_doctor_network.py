"""`rengo member doctor` on the way out: each check against its real cause, on loopback."""

import base64
import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator import tls as certificates
from clients import clock
from clients.clock import ClockWrong
from clients.doctor import network
from clients.doctor.network import NameUnknown, TlsInspected, Unreachable
from clients.proxy import ProxyInvalid, ProxyRefused, ProxySilent, ProxyUnreachable, proxy_for
from clients.registry_client import RegistryClient, RegistryUnreachable, introduce
from federation.identity import Identity
from federation.registry import Standing
from federation.token import JoinToken
from tests.unit.proxies import PROXIES, Proxy
from tests.unit.site import Consortium, Site, consortium, free_port

SECRET = "s3cret&パス"  # noqa: S105


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
    for name in PROXIES:
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
        assert "s3cret" not in repr(proxy_for("127.0.0.1", port))
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
            ("502 Bad Gateway", "", "Nobody answers the proxy there", "プロキシからその接続先に届きません"),
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
        with pytest.raises(ProxyUnreachable, match="Connection refused"):
            network.proxy("rengo.example", 443)
        with Proxy(b"SSH-2.0-OpenSSH_9.2\r\n").listening() as proxy:
            self.use(monkeypatch, proxy)
            with pytest.raises(ProxyUnreachable, match="no HTTP proxy"):
                network.proxy("rengo.example", 443)

    def test_whose_name_nobody_knows_is_said_and_not_the_coordinators(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://no-such-proxy.invalid:8080")
        with pytest.raises(ProxyUnreachable, match=r"no-such-proxy\.invalid:8080"):
            network.name_server("rengo.example", 443)

    @pytest.mark.parametrize("address", ["http://127.0.0.1:port", "socks://127.0.0.1:1", "http://", "http://[::1"])
    def test_whose_address_is_none_is_said_without_the_address(
        self, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", address.replace("//", "//user:s3cret@"))
        with pytest.raises(ProxyInvalid) as caught:
            network.proxy("rengo.example", 443)
        assert caught.value.exit_code == 5
        assert "s3cret" not in str(caught.value)

    def test_of_another_kind_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Proxy().listening() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{proxy.port}")
            with pytest.raises(ProxyRefused, match="Only HTTP proxies"):
                network.proxy("rengo.example", 443)

    def test_is_not_used_where_no_proxy_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.use(monkeypatch, Proxy())
        monkeypatch.setenv("NO_PROXY", "rengo.example")
        assert proxy_for("rengo.example", 443) is None
        assert proxy_for("other.example", 443) is not None


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
        monkeypatch.setattr(network, "SECONDS", 0.5)
        with Proxy(b"HTTP/1.1 400 Bad Request\r\n\r\n").listening() as plain, pytest.raises(Unreachable):
            network.tls("TLS", "127.0.0.1", plain.port, authority[1].decode())
        with pytest.raises(Unreachable, match="Connection refused"):
            network.tls("TLS", "127.0.0.1", free_port(), authority[1].decode())

    @pytest.mark.parametrize("answer", ["", "HTTP/1.1 503 Service Unavailable\r\n\r\n"], ids=["direct", "by proxy"])
    def test_of_a_carrier_that_does_not_listen_now_is_a_warning(
        self, answer: str, authority: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Proxy(answer.encode()).listening() as proxy:
            if answer:
                monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            check = network.carrier(f"127.0.0.1:{free_port()}", authority[1].decode())
        assert (check.result, check.exit_code) == ("warning", 0)
        assert "only while a job runs" in check.mend["en"]

    def test_of_a_carrier_that_the_proxy_forbids_is_a_failure(
        self, authority: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Proxy(b"HTTP/1.1 403 Forbidden\r\n\r\n").listening() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            with pytest.raises(ProxyRefused, match="403"):
                network.carrier(f"127.0.0.1:{free_port()}", authority[1].decode())


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
            with pytest.raises(ProxyRefused, match="407 Proxy Authentication Required") as caught:
                site.run("review")
    assert (caught.value.exit_code, caught.value.code) == (5, "proxy-refused")
    assert "s3cret" not in str(caught.value)
    rows = {check["check"]: check for check in facts["checks"]}
    assert rows["proxy"]["exit_code"] == 5
    assert "NTLM only" in rows["proxy"]["found"]
    assert rows["TLS"]["result"] == "not checked"  # what lies behind is not tried
    assert "s3cret" not in str(facts)
    assert Site(site.path).run("journal", "verify")["rows"] > 0


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Consortium, Site]]:
    """A registry that listens, and a site that joined without a proxy."""
    made = consortium(tmp_path_factory.mktemp("office"))
    with made.listening(), pytest.MonkeyPatch.context() as patch:
        for name in PROXIES:
            patch.delenv(name, raising=False)
        yield made, made.join("akatombo-seiki")


class TestACallThatFailed:
    """Names whoever is to blame: the proxy while it is the proxy, and the coordinator behind one that connects."""

    @pytest.mark.parametrize("verb", ["join", "review", "leave"])
    def test_at_a_proxy_that_is_not_there(
        self, verb: str, office: tuple[Consortium, Site], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        made, site = office
        token = made.invite("asanagi-seiki")
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@127.0.0.1:{(port := free_port())}")
        joining = ["--token-file", token, "--data", tmp_path] if verb == "join" else []
        with pytest.raises(ProxyUnreachable, match="Connection refused") as caught:
            (Site(tmp_path / "new") if joining else site).run(verb, *joining)
        assert (caught.value.exit_code, caught.value.code) == (5, "proxy-unreachable")
        for words in (caught.value.text("en"), caught.value.text("ja")):
            assert f"127.0.0.1:{port}" in words
            assert "HTTPS_PROXY" in words
            assert str(made.port) not in words
            assert "s3cret" not in words

    @pytest.mark.parametrize(
        ("address", "detail"),
        [("no-such-proxy.invalid:8080", "not known"), ("no proxy", "no HTTP proxy")],
    )
    def test_at_a_proxy_without_a_name_or_of_another_kind(
        self, address: str, detail: str, office: tuple[Consortium, Site], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, site = office
        with Proxy(b"SSH-2.0-OpenSSH_9.2\r\n").listening() as answering:
            here = f"http://127.0.0.1:{answering.port}"
            monkeypatch.setenv("HTTPS_PROXY", here if address == "no proxy" else address)
            with pytest.raises(ProxyUnreachable, match=detail):
                site.run("review")

    def test_at_a_proxy_that_hangs(
        self, office: tuple[Consortium, Site], monkeypatch: pytest.MonkeyPatch, authority: tuple[bytes, bytes]
    ) -> None:
        """It may be waiting itself, and that is said too; where the registry was reached, the carrier does not run."""
        made, site = office
        monkeypatch.setattr("clients.registry_client._SECONDS", 0.3)
        monkeypatch.setattr("clients.proxy.SECONDS", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{(port := silent.getsockname()[1])}")
            words = f"The proxy 127.0.0.1:{port} took the connection and did not say within 0.3 s whether it reaches "
            with pytest.raises(ProxySilent, match=f"{words}127.0.0.1:{made.port}") as caught:
                site.run("review")
            assert (caught.value.exit_code, caught.value.code) == (5, "proxy-silent")
            check = network.carrier("127.0.0.1:1", authority[1].decode())
        assert (check.result, f"127.0.0.1:{port}: no answer" in check.found["en"]) == ("warning", True)

    def test_behind_a_proxy_that_connects_names_the_coordinator_and_the_way(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with Proxy().listening() as proxy, socket.create_server(("127.0.0.1", 0)) as deaf:
            monkeypatch.setattr("clients.registry_client._SECONDS", 0.3)
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            token = JoinToken.create(f"https://127.0.0.1:{deaf.getsockname()[1]}", bytes(32))
            with pytest.raises(RegistryUnreachable, match=f"through the proxy 127.0.0.1:{proxy.port}"):
                introduce(token, lambda _: None)

    def test_does_not_trip_over_a_proxy_for_others(
        self, office: tuple[Consortium, Site], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Desktops set ALL_PROXY beside HTTPS_PROXY, to what nothing here speaks."""
        _, site = office
        monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
        with Proxy().listening() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
            assert site.run("roster", "show")["version"] == 1
            assert proxy.asked
