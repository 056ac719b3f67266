"""The registry over real HTTPS: what is too large or no request is turned away, TLS is the coordinator's own."""

import contextlib
import datetime
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from aggregator import registry, registry_server, tls
from aggregator.bounded_http import Bounds
from aggregator.registry_server import LARGEST_REQUEST, CannotListen, RegistryServer
from federation.identity import Identity
from federation.registry import PROTOCOL, VERSION_HEADER, Ask, Standing
from federation.secagg.messages import Refused
from tests.unit.registering import Office, open_office


@dataclass
class Served:
    office: Office
    url: str
    trust: ssl.SSLContext
    files: tuple[Path, Path]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("registry")
    authority_key, authority = tls.make_authority("研究会")
    key, certificate = tls.make_server(authority_key, authority, ["127.0.0.1", "localhost"])
    files = folder / "server.pem", folder / "tls.key"
    for path, data in zip(files, (certificate, key), strict=True):
        path.write_bytes(data)
    office = open_office(folder)
    server = RegistryServer(office.registry, "127.0.0.1", port := free_port(), *files)
    trust = ssl.create_default_context(cadata=authority.decode())
    yield Served(office, f"https://127.0.0.1:{port}", trust, files)
    server.stop()
    office.registry.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(served: Served, content: bytes) -> httpx.Response:
    return httpx.post(f"{served.url}/v1/registry", content=content, verify=served.trust)


def test_a_signed_request_is_answered(served: Served) -> None:
    member = served.office.member("toyo")
    response = post(served, served.office.request(Ask(0, PROTOCOL, "0"), member))
    assert response.status_code == 200
    assert isinstance(served.office.opened(response.content, "toyo", Standing), Standing)


@pytest.mark.parametrize("content", [b"", b"{}", b"RNGO\1\1", bytes(LARGEST_REQUEST)])
def test_what_is_no_request_gets_400_and_not_a_word_more(content: bytes, served: Served) -> None:
    response = post(served, content)
    assert (response.status_code, response.content) == (400, b"")
    assert response.headers[VERSION_HEADER] == version("rengo")  # for a program of another version


def test_an_oversized_request_gets_413(served: Served) -> None:
    assert post(served, bytes(LARGEST_REQUEST + 1)).status_code == 413


def test_a_request_without_an_end_is_turned_away_before_it_ends(served: Served) -> None:
    """A body of no announced length of which more and more comes."""
    head = b"POST /v1/registry HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    size = LARGEST_REQUEST + 1
    port = int(served.url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        served.trust.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(head + f"{size:x}\r\n".encode() + bytes(size) + b"\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/registry"), ("POST", "/v1/introduction"), ("GET", "/docs")])
def test_there_are_two_addresses_and_no_more(method: str, path: str, served: Served) -> None:
    assert httpx.request(method, served.url + path, verify=served.trust).status_code in (404, 405)


def test_clients_that_trust_public_authorities_do_not_trust_it(served: Served) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"{served.url}/v1/introduction")


def test_a_certificate_for_another_host_is_not_accepted(served: Served) -> None:
    with pytest.raises(httpx.ConnectError, match=r"CERTIFICATE_VERIFY_FAILED|refused"):
        httpx.get(served.url.replace("127.0.0.1", "127.0.0.2"), verify=served.trust, timeout=5)


def test_a_taken_port_is_told(served: Served) -> None:
    port = int(served.url.rpartition(":")[2])
    with pytest.raises(CannotListen, match="Address already in use") as caught:
        RegistryServer(served.office.registry, "127.0.0.1", port, *served.files)
    assert caught.value.exit_code == 5


@pytest.fixture(scope="module")
def pair() -> tuple[x509.Certificate, x509.Certificate]:
    key, authority = tls.make_authority("名古屋製造業コンソーシアム" * 8)
    _, server = tls.make_server(key, authority, ["rengo.example.jp", "192.0.2.7", "2001:db8::1"])
    return x509.load_pem_x509_certificate(authority), x509.load_pem_x509_certificate(server)


class TestCertificates:
    def test_name_every_host_by_its_kind(self, pair: tuple[x509.Certificate, x509.Certificate]) -> None:
        names = pair[1].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["rengo.example.jp"]
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7", "2001:db8::1"]

    def test_can_sign_no_others(self, pair: tuple[x509.Certificate, x509.Certificate]) -> None:
        authority, server = pair
        assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (constraints.ca, constraints.path_length) == (True, 0)
        server.verify_directly_issued_by(authority)

    def test_are_good_for_a_clock_that_is_hours_behind(self, pair: tuple[x509.Certificate, x509.Certificate]) -> None:
        """So that `doctor` can say what is wrong, and not TLS."""
        behind = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=20)
        assert all(each.not_valid_before_utc < behind for each in pair)


def test_the_database_is_for_its_owner_alone(served: Served) -> None:
    for file in served.files[0].parent.glob("registry.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_anyone_may_read_the_introduction_and_nobody_learns_more_from_it(served: Served) -> None:
    invited = served.office.invite("secret-supplier")
    shown = httpx.get(f"{served.url}/v1/introduction", verify=served.trust).content
    assert b"secret-supplier" not in shown
    assert invited.secret.encode() not in shown
    assert Identity.create("x").public_key not in shown


# What one address may hold open, take its time with, and ask for. Every address of 127.0.0.0/8 is this machine's own.
HOSTILE = "127.0.0.2"
HEAD = b"POST /v1/registry HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def bounded(tmp_path: Path, served: Served) -> Iterator[Served]:
    """A registry that is impatient, for tests that wait."""
    office = open_office(tmp_path)
    bounds = Bounds(of_one=6, of_all=12, head_seconds=2, request_seconds=2)
    server = RegistryServer(office.registry, "127.0.0.1", port := free_port(), *served.files, bounds)
    yield Served(office, f"https://127.0.0.1:{port}", served.trust, served.files)
    server.stop()
    office.registry.close()


def connected(served: Served, address: str = HOSTILE, secure: bool = True) -> socket.socket:
    port = int(served.url.rpartition(":")[2])
    plain = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0))
    return served.trust.wrap_socket(plain, server_hostname="localhost") if secure else plain


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has hung up; it waits for it for as long as the connection's timeout."""
    try:
        return connection.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def is_answered(served: Served) -> bool:
    return httpx.get(f"{served.url}/v1/introduction", verify=served.trust, timeout=10).status_code == 200


def test_one_address_holds_so_many_connections_and_keeps_nobody_out(
    bounded: Served, caplog: pytest.LogCaptureFixture
) -> None:
    held = [connected(bounded) for _ in range(6)]
    with pytest.raises(OSError):  # noqa: PT011  # a reset, or an end within the handshake
        connected(bounded)
    assert is_answered(bounded)
    assert f"registry: {HOSTILE}: holds as many connections open" in caplog.text
    for connection in held:
        connection.close()


def test_a_connection_counts_before_its_handshake(bounded: Served) -> None:
    held = [connected(bounded, secure=False) for _ in range(6)]
    assert is_closed(connected(bounded, secure=False))
    assert is_answered(bounded)
    for connection in held:
        connection.close()


def test_many_addresses_hold_so_many_connections_together(bounded: Served, caplog: pytest.LogCaptureFixture) -> None:
    held = [connected(bounded, f"127.0.0.{3 + i // 6}", secure=False) for i in range(12)]
    assert is_closed(connected(bounded, "127.0.0.9", secure=False))
    assert "as many connections are open as all together may" in caplog.text
    for connection in held:
        connection.close()


def test_a_closed_connection_makes_room(bounded: Served) -> None:
    for _ in range(3):
        held = [connected(bounded) for _ in range(6)]
        for connection in held:
            connection.close()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            with contextlib.suppress(OSError), connected(bounded):
                break
        else:
            raise AssertionError("no room")


@pytest.mark.parametrize(
    "begun",
    [b"", HEAD, HEAD + b"Content-Length: 9999\r\n\r\n"],
)
def test_a_slow_drip_of_bytes_is_cut(begun: bytes, bounded: Served, caplog: pytest.LogCaptureFixture) -> None:
    connection = connected(bounded)
    connection.sendall(begun)
    connection.settimeout(0.2)
    began = time.monotonic()
    with contextlib.suppress(OSError):
        while not is_closed(connection):
            assert time.monotonic() < began + 8
            connection.sendall(b"x")
    assert f"registry: {HOSTILE}: sends or takes a request too slowly" in caplog.text
    assert is_answered(bounded)


def test_an_endless_head_is_turned_away(bounded: Served) -> None:
    connection = connected(bounded)
    with contextlib.suppress(OSError):
        for _ in range(1000):
            connection.sendall(b"x" * 1000)
    assert is_answered(bounded)
    with contextlib.suppress(OSError):
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


@pytest.fixture
def few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_server, "REQUESTS", (5, 0.01))


@pytest.mark.usefixtures("few_requests")
def test_an_address_that_floods_is_turned_away_and_others_are_answered(
    bounded: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(verify=bounded.trust, local_address=HOSTILE)) as http:
        statuses = [http.get(f"{bounded.url}/v1/introduction").status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    assert f"registry: {HOSTILE}: sends more requests than it may" in caplog.text
    assert is_answered(bounded)


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """A registry that answers a member five times."""
    monkeypatch.setattr(registry, "REQUESTS", (5, 0.0))
    office = open_office(tmp_path)
    yield office
    office.registry.close()


def test_a_member_that_floods_from_many_addresses_is_refused_by_name_and_others_are_not(strict: Office) -> None:
    hostile, honest = strict.member("flooding"), strict.member("honest")
    answers = [strict.standing(hostile, peer=f"198.51.100.{i}") for i in range(8)]
    assert [a.code for a in answers if isinstance(a, Refused)] == ["too-many-requests"] * 3
    assert isinstance(strict.standing(honest), Standing)
    assert "refused ask of flooding: too-many-requests" in strict.log()


def test_a_stranger_in_a_members_name_does_not_use_up_its_requests(strict: Office) -> None:
    member = strict.member("imitated")
    stranger = Identity.create(member.id)
    for _ in range(8):
        refused = strict.standing(stranger)
        assert isinstance(refused, Refused)
        assert refused.code == "signature-invalid"
    assert isinstance(strict.standing(member), Standing)
