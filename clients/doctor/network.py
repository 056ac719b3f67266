"""The way from this site to the coordinator: name server, proxy, TLS, clock."""

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from clients import clock
from clients.doctor.check import Check, fine, warning
from clients.proxy import SECONDS, ProxyRefused, ProxySilent, ProxyUnreachable, proxy_for, reason, tunnel
from clients.registry_client import RegistryClient
from federation.errors import RengoError
from federation.identity import Identity
from federation.registry import Standing


class NameUnknown(RengoError):
    """The name server does not know {host} ({detail}). Ask the network team for the name, or set HTTPS_PROXY: a proxy
    looks names up itself."""

    ja = "名前 {host} を解決できません（{detail}）。ネットワーク担当に確認するか、HTTPS_PROXY を設定してください。"
    exit_code = 5


class Unreachable(RengoError):
    """{place} does not answer ({detail}). Ask the network team to permit outbound HTTPS to it."""

    ja = "{place} に接続できません（{detail}）。ネットワーク担当に、外向き HTTPS の許可を依頼してください。"
    exit_code = 5


class TlsInspected(RengoError):
    """The certificate of {place} was issued by "{issuer}", not by the consortium ({detail}): this network inspects TLS,
    or it is another server. Exempt {place} from inspection. Never turn verification off."""

    ja = (
        "{place} の証明書の発行者は「{issuer}」で、コンソーシアムではありません（{detail}）。"
        "TLS 検査装置か、別のサーバーです。{place} を検査の対象外にしてください（検証は無効にしないこと）。"
    )
    exit_code = 5


def name_server(host: str, port: int) -> Check:
    """Can the coordinator's name be looked up, or the proxy's that does it for us? Raises NameUnknown, or
    ProxyUnreachable where it is the proxy's."""
    through = proxy_for(host, port)
    asked = through.host if through else host
    try:
        found = socket.getaddrinfo(asked, None, type=socket.SOCK_STREAM)
    except OSError as error:
        if through:
            raise ProxyUnreachable(proxy=through.place, detail=reason(error), detail_ja=reason(error)) from error
        raise NameUnknown(host=asked, detail=reason(error)) from error
    addresses = ", ".join(sorted({str(each[4][0]) for each in found}))
    return fine("name server", f"{asked} is {addresses}", f"{asked} は {addresses} です")


def proxy(host: str, port: int) -> Check:
    """Does the proxy, if there is one, let us through? Raises what proxy.require_passing raises."""
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
        raise Unreachable(place=place, detail=reason(error)) from error
    fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    until = certificate.not_valid_after_utc.date()
    return fine(
        name,
        f"{place}: {issuer}, until {until}, certificate SHA-256 {fingerprint}",
        f"{place}: 発行者 {issuer}、期限 {until}、証明書の照合値 {fingerprint}",
    )


def carrier(address: str, authority: str) -> Check:
    """Is Flower's port reachable? It listens only while a job is run. Raises TlsInspected and what the proxy's do."""
    parts = urlsplit(f"//{address}")
    try:
        return tls("carrier", parts.hostname or "", parts.port or 443, authority)
    except (Unreachable, ProxySilent, ProxyRefused) as error:
        if isinstance(error, ProxyRefused) and not error.found_nobody:
            raise
        mend = "It listens only while a job runs; else ask the network team to permit outbound HTTPS to it."
        mend_ja = "ジョブの実行中だけ待ち受けます。実行中なら、外向き HTTPS の許可を依頼してください。"
        why = error.facts.get("detail") or error.facts.get("status") or "no answer"
        detail = f"{error.facts['proxy']}: {why}" if "proxy" in error.facts else why
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
        raise Unreachable(place=f"{host}:{port}", detail=reason(error)) from error


@contextlib.contextmanager
def _connected(host: str, port: int) -> Iterator[socket.socket]:
    """A connection to host:port, through the proxy where there is one. Raises Unreachable and what the proxy's do."""
    if through := proxy_for(host, port):
        with tunnel(through, host, port) as connection:
            yield connection
        return
    try:
        connection = socket.create_connection((host, port), timeout=SECONDS)
    except OSError as error:
        raise Unreachable(place=f"{host}:{port}", detail=reason(error)) from error
    with connection:
        yield connection
