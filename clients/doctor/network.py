"""The way from this site to the coordinator: name server, proxy, TLS, clock."""

import base64
import contextlib
import hashlib
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clients import clock
from clients.doctor.check import Check, fine, warning
from clients.registry_client import RegistryClient
from federation.errors import RengoError
from federation.identity import Identity
from federation.registry import Standing

_SECONDS = 10.0
_LARGEST_HEAD = 64 << 10


class NameUnknown(RengoError):
    """The name server does not know {host} ({detail}). Ask the network team for the name, or set HTTPS_PROXY: a proxy
    looks names up itself."""

    ja = "名前 {host} を解決できません（{detail}）。ネットワーク担当に確認するか、HTTPS_PROXY を設定してください。"
    exit_code = 5


class Unreachable(RengoError):
    """{place} does not answer ({detail}). Ask the network team to permit outbound HTTPS to it."""

    ja = "{place} に接続できません（{detail}）。ネットワーク担当に、外向き HTTPS の許可を依頼してください。"
    exit_code = 5


class ProxyRefused(RengoError):
    """The proxy {proxy} refuses a connection to {place}: {status}. {advice}"""

    ja = "プロキシ {proxy} が {place} への接続を拒否しました: {status}。{advice_ja}"
    exit_code = 5


class TlsInspected(RengoError):
    """The certificate of {place} was issued by "{issuer}", not by the consortium ({detail}): this network inspects TLS,
    or it is another server. Exempt {place} from inspection. Never turn verification off."""

    ja = (
        "{place} の証明書の発行者は「{issuer}」で、コンソーシアムではありません（{detail}）。"
        "TLS 検査装置か、別のサーバーです。{place} を検査の対象外にしてください（検証は無効にしないこと）。"
    )
    exit_code = 5


@dataclass(frozen=True)
class Proxy:
    """Where connections go first."""

    scheme: str
    host: str
    port: int
    authorization: str = field(repr=False)

    @property
    def place(self) -> str:
        """host:port, without a user's name or password."""
        return f"{self.host}:{self.port}"


def proxy_for(host: str, port: int) -> Proxy | None:
    """The proxy that the environment names for https://host:port (HTTPS_PROXY, ALL_PROXY, but NO_PROXY)."""
    named = getproxies()
    address = named.get("https") or named.get("all")
    if not address or proxy_bypass(f"{host}:{port}"):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    return Proxy(parts.scheme, parts.hostname or "", parts.port or 80, _basic(parts))


def name_server(host: str, port: int) -> Check:
    """Can the coordinator's name be looked up, or the proxy's that does it for us? Raises NameUnknown."""
    proxy = proxy_for(host, port)
    asked = proxy.host if proxy else host
    try:
        found = socket.getaddrinfo(asked, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NameUnknown(host=asked, detail=error.strerror or error) from error
    addresses = ", ".join(sorted({str(each[4][0]) for each in found}))
    return fine("name server", f"{asked} is {addresses}", f"{asked} は {addresses} です")


def proxy(host: str, port: int) -> Check:
    """Does the proxy, if there is one, let us through? Raises ProxyRefused or Unreachable."""
    through = proxy_for(host, port)
    if through is None:
        return fine("proxy", "none is set: HTTPS_PROXY", "設定なし（HTTPS_PROXY）")
    with _connected(host, port):
        who = {True: ("with a user name", "ユーザー名あり"), False: ("without a user name", "ユーザー名なし")}
        en, ja = who[bool(through.authorization)]
        return fine(
            "proxy", f"{through.place} ({en}) connects to {host}:{port}", f"{through.place}（{ja}）経由で接続可"
        )


def tls(name: str, host: str, port: int, authority: str) -> Check:
    """Is it the consortium's server that answers? Raises TlsInspected, ProxyRefused or Unreachable."""
    place, certificate = f"{host}:{port}", _shown(host, port)
    issuer = certificate.issuer.rfc4514_string()
    trust = ssl.create_default_context(cadata=authority)
    trust.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        with _connected(host, port) as plain, trust.wrap_socket(plain, server_hostname=host):
            pass
    except ssl.SSLCertVerificationError as error:
        raise TlsInspected(place=place, issuer=issuer, detail=error.verify_message) from error
    except OSError as error:
        raise Unreachable(place=place, detail=_reason(error)) from error
    fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    until = certificate.not_valid_after_utc.date()
    return fine(
        name,
        f"{place}: {issuer}, until {until}, certificate SHA-256 {fingerprint}",
        f"{place}: 発行者 {issuer}、期限 {until}、証明書の照合値 {fingerprint}",
    )


def carrier(address: str, authority: str) -> Check:
    """Is Flower's port reachable? It listens only while a job is run. Raises TlsInspected or ProxyRefused."""
    parts = urlsplit(f"//{address}")
    try:
        return tls("carrier", parts.hostname or "", parts.port or 443, authority)
    except Unreachable as error:
        mend = "It listens only while a job runs; else ask the network team to permit outbound HTTPS to it."
        mend_ja = "ジョブの実行中だけ待ち受けます。実行中なら、外向き HTTPS の許可を依頼してください。"
        detail = error.facts["detail"]
        found = (f"{address} does not answer now ({detail})", f"{address} は現在応答しません（{detail}）")
        return warning("carrier", found, (mend, mend_ja))


def clock_offset(registry: RegistryClient, identity: Identity) -> tuple[Check, Standing]:
    """This machine's clock against the coordinator's, and what else the coordinator answered. Raises ClockWrong."""
    standing, offset = clock.standing(registry, identity)
    clock.require_right(offset)
    return fine("clock", f"{round(offset):+} s", f"{round(offset):+} 秒"), standing


def _shown(host: str, port: int) -> x509.Certificate:
    """The certificate that is shown, whoever shows it; nothing is sent but a greeting."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        with _connected(host, port) as plain, anybody.wrap_socket(plain, server_hostname=host) as secure:
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    except (OSError, ValueError) as error:
        raise Unreachable(place=f"{host}:{port}", detail=_reason(error)) from error


@contextlib.contextmanager
def _connected(host: str, port: int) -> Iterator[socket.socket]:
    """A connection to host:port, through the proxy where there is one. Raises Unreachable or ProxyRefused."""
    through = proxy_for(host, port)
    first = (through.host, through.port) if through else (host, port)
    try:
        connection = socket.create_connection(first, timeout=_SECONDS)
    except OSError as error:
        raise Unreachable(place=f"{first[0]}:{first[1]}", detail=_reason(error)) from error
    with connection:
        if through:
            _tunnel(connection, through, f"{host}:{port}")
        yield connection


def _tunnel(connection: socket.socket, through: Proxy, place: str) -> None:
    """Ask the proxy for a way to `place` (RFC 9110 section 9.3.6). Raises ProxyRefused or Unreachable."""
    if through.scheme != "http":
        advice = "Only HTTP proxies are supported: HTTPS_PROXY=http://HOST:PORT."
        advice_ja = "対応しているのは HTTP プロキシだけです: HTTPS_PROXY=http://ホスト:ポート"
        facts = {"proxy": through.place, "place": place, "status": f"{through.scheme}://"}
        raise ProxyRefused(**facts, advice=advice, advice_ja=advice_ja)
    request = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{through.authorization}\r\n"
    try:
        connection.sendall(request.encode())
        head = _head(connection)
    except OSError as error:
        raise Unreachable(place=through.place, detail=_reason(error)) from error
    status = re.match(r"HTTP/1\.[01] (\d{3})[^\r\n]*", head)
    if status is None:
        raise Unreachable(place=through.place, detail="it is no HTTP proxy")
    if not status[1].startswith("2"):
        en, ja = _advice(status[1], head, through)
        words = status[0].partition(" ")[2][:80]
        raise ProxyRefused(proxy=through.place, place=place, status=words, advice=en, advice_ja=ja)


def _head(connection: socket.socket) -> str:
    """An HTTP response up to its empty line, and nothing after it."""
    head = bytearray()
    while not head.endswith(b"\r\n\r\n") and len(head) < _LARGEST_HEAD:
        byte = connection.recv(1)
        if not byte:
            break
        head += byte
    return head.decode("latin-1")


def _advice(status: str, head: str, through: Proxy) -> tuple[str, str]:
    if status != "407":
        return (
            "Ask the network team to permit CONNECT to it.",
            "ネットワーク担当に、この接続先への CONNECT の許可を依頼してください。",
        )
    offered = re.findall(r"(?im)^proxy-authenticate:\s*([\w-]+)", head)
    schemes = {scheme.lower() for scheme in offered}
    if schemes and "basic" not in schemes:
        names = ", ".join(dict.fromkeys(offered))
        return (
            f"It offers {names} only, which rengo does not speak. Run a local proxy that does (cntlm, px) and set "
            "HTTPS_PROXY=http://127.0.0.1:3128, or have this destination permitted without authentication.",
            f"認証方式は {names} のみで、rengo は対応していません。対応するローカルプロキシ（cntlm、px）を動かして "
            "HTTPS_PROXY=http://127.0.0.1:3128 とするか、この接続先を認証なしで許可してもらってください。",
        )
    if through.authorization:
        return "Its user name or password in HTTPS_PROXY is wrong.", "HTTPS_PROXY のユーザー名かパスワードが違います。"
    return (
        "It wants a user name: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT.",
        "認証が必要です: HTTPS_PROXY=http://ユーザー:パスワード@ホスト:ポート",
    )


def _basic(parts: SplitResult) -> str:
    """The header for the user and password in a proxy's address; empty without."""
    if parts.username is None:
        return ""
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Proxy-Authorization: Basic {base64.b64encode(words.encode()).decode()}\r\n"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:120]
