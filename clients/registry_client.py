"""A site's calls to the coordinator's registry: outbound HTTPS only, through HTTPS_PROXY where that is set.

Trust begins with the join token. The first call is made without knowing the server's certificate and brings nothing
but a document that the root's fingerprint verifies; in it stands the authority that every later call insists on. So a
secret is sent only where the token's fingerprint leads. Each call is in the site's record before it is made, and its
answer after it has come.
"""

import hashlib
import ssl
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from clients import proxy
from clients.journal import Departure, Record
from clients.registry_refused import RegistryRefused
from federation.errors import RengoError, SignatureInvalid
from federation.identity import COORDINATOR, Identity, Roster, open_signed
from federation.registry import (
    LIMITS,
    PROTOCOL,
    VERSION_HEADER,
    Ask,
    Consent,
    Introduction,
    Join,
    Joined,
    Leave,
    Noted,
    Standing,
    context,
)
from federation.secagg.messages import Refused
from federation.text import printable
from federation.token import JoinToken, fingerprint
from federation.wire import Body, Malformed, Signed, is_frame, read_body, read_frame, write_frame

B = TypeVar("B", bound=Body)
_SECONDS = 30.0
_LARGEST = 8 << 20


class RegistryUnreachable(RengoError):
    """{host} cannot be reached: {detail}. Check the address, the network and HTTPS_PROXY; `rengo member doctor` tells
    more."""

    ja = (
        "{host} に接続できません: {detail_ja}。アドレス・ネットワーク・HTTPS_PROXY を確認してください。"
        "詳しくは `rengo member doctor` で点検できます。"
    )
    exit_code = 5


class CertificateUntrusted(RengoError):
    """The server that answers as {host} does not have the coordinator's certificate ({detail}). If this network
    inspects TLS, exempt {host} from it; never turn verification off."""

    ja = (
        "{host} として応答したサーバーの証明書が事務局のものではありません（{detail}）。"
        "通信の TLS 検査がある場合は {host} を対象外にしてください（検証は無効にしないこと）。"
    )
    exit_code = 5


class FingerprintDiffers(RengoError):
    """{host} shows another consortium root than the join token names: expected {expected}, found {actual}. The token's
    secret was not sent. Compare the fingerprint with the coordinator by phone."""

    ja = (
        "{host} のルート照合値が招待コードと異なります（招待コード {expected}、実際 {actual}）。"
        "招待コードの秘密は送信していません。電話などで事務局と照合してください。"
    )
    exit_code = 4


class VersionDiffers(RengoError):
    """The coordinator at {host} runs rengo {theirs}, this is rengo {here}, and they do not understand each other.
    Install rengo {theirs} here, or ask the coordinator for {here}."""

    ja = (
        "{host} の事務局は rengo {theirs}、この拠点は rengo {here} で、互いに通信できません。"
        "この拠点に rengo {theirs} を導入するか、事務局に {here} を依頼してください。"
    )
    exit_code = 3


@dataclass(frozen=True)
class Verified:
    """A consortium whose root is the one that a token pins."""

    root: bytes
    roster: Roster
    authority: str


class RegistryClient:
    """The registry at `url` as a site that knows `root` and the coordinator's `authority` (PEM) calls it. `record`:
    hears of every call, see Journal.record."""

    def __init__(self, url: str, root: bytes, coordinator_key: bytes, authority: str, record: Record) -> None:
        self._url, self._record = url, record
        self._context, self._key = context(root), coordinator_key
        self._trust = ssl.create_default_context(cadata=authority)
        self._trust.minimum_version = ssl.TLSVersion.TLSv1_3

    def join(self, token: JoinToken, identity: Identity, node_key: str) -> str:
        """Spend the token; the id that it was for. Raises RegistryRefused (exit code 4)."""
        body = Join(token.secret, identity.public_key, node_key, PROTOCOL, version("rengo"))
        return self._call(identity, body, Joined).id

    def standing(self, identity: Identity) -> Standing:
        """The newest roster and plan."""
        return self._call(identity, Ask(int(time.time()), PROTOCOL, version("rengo")), Standing)

    def consent(self, identity: Identity, plan: bytes, roster: bytes, answer: str, reason: str) -> None:
        """Tell the coordinator what a person decided."""
        self._call(identity, Consent(plan, roster, answer, reason), Noted)

    def leave(self, identity: Identity) -> None:
        """Tell the coordinator that this site takes part no more."""
        self._call(identity, Leave(), Noted)

    def _call(self, identity: Identity, body: Body, kind: type[B]) -> B:
        frame = write_frame([identity.sign(body, self._context, COORDINATOR)])
        digest = hashlib.sha256(frame).digest()
        self._record(Departure("", (body.kind,), place(self._url), len(frame), digest))
        # One connection a call: they are few, and an open one would keep the coordinator from stopping.
        with _http(self._url, self._trust) as http:
            answer_frame = _fetched(http, "POST", f"{self._url}/v1/registry", frame)
        self._record(_answered(self._url, body.kind, answer_frame))
        message = _one(answer_frame, self._url)
        opened = _refused(message)
        expected = Refused if opened else kind
        answer = open_signed(
            message,
            expected,
            public_key=self._key,
            digest=self._context,
            sender=COORDINATOR,
            recipient=identity.id,
        )
        if isinstance(answer, Refused):
            raise RegistryRefused(answer)
        assert isinstance(answer, kind)  # noqa: S101  # open_signed gave what was asked for
        return answer


def place(url: str) -> str:
    """host:port, as a proxy's log names it."""
    host, port = _host_port(url)
    return f"{host}:{port}"


def _host_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or url, parts.port or 443


def introduce(token: JoinToken, record: Record) -> Verified:
    """Who is at the token's address: verified against its fingerprint, or FingerprintDiffers. Sends no secret."""
    host = urlsplit(token.url).hostname or token.url
    # Nothing is trusted because of this connection: what comes over it is signed, from the token's fingerprint on.
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    record(Departure("", (f"get_{Introduction.kind}",), place(token.url), 0, hashlib.sha256(b"").digest()))
    with _http(token.url, unverified) as http:
        frame = _fetched(http, "GET", f"{token.url}/v1/introduction")
    record(_answered(token.url, f"get_{Introduction.kind}", frame))
    message = _one(frame, token.url)
    shown = read_body(Introduction, message.header.body)
    if fingerprint(shown.root) != token.root:
        raise FingerprintDiffers(
            host=host, expected=token.root.hex()[:16] + "…", actual=fingerprint(shown.root).hex()[:16] + "…"
        )
    roster = shown.verified_roster()
    open_signed(
        message,
        Introduction,
        public_key=roster.coordinator_key,
        digest=context(shown.root),
        sender=COORDINATOR,
        recipient="anyone",
    )
    return Verified(shown.root, roster, shown.authority)


def _answered(url: str, kind: str, content: bytes) -> Departure:
    """An answer, for the record: nothing left with it."""
    return Departure("", (f"answer_to_{kind}",), place(url), 0, hashlib.sha256(content).digest(), len(content))


def _http(url: str, trust: ssl.SSLContext) -> httpx.Client:
    """A client for calls of `url`, through its proxy. Raises ProxyInvalid."""
    # Not by httpx's own look at the environment: a proxy for other schemes that it cannot use would be an error there.
    through = proxy.proxy_for(*_host_port(url))
    by = httpx.Proxy(f"{through.scheme}://{through.place}", headers=through.headers) if through else None
    return httpx.Client(verify=trust, timeout=_SECONDS, trust_env=False, proxy=by)


def _fetched(http: httpx.Client, method: str, url: str, frame: bytes = b"") -> bytes:
    """The bytes that answer. Raises RegistryUnreachable, CertificateUntrusted, VersionDiffers, or what proxy.py says of
    the proxy."""
    host = urlsplit(url).hostname or url
    try:
        # Not decoded: what answers may be anybody, and a few bytes could be unpacked into gigabytes.
        with http.stream(method, url, content=frame, headers={"Accept-Encoding": "identity"}) as response:
            # Nobody has signed it; it says no more than what a person may have to install.
            theirs, here = printable(response.headers.get(VERSION_HEADER, "")[:40]), version("rengo")
            content = _bounded(response, host)
            if theirs not in ("", here) and (response.status_code == 400 or not is_frame(content)):
                raise VersionDiffers(host=host, theirs=theirs, here=here)
            if response.status_code != 200:
                said = f"{response.status_code} {printable(response.reason_phrase)}"
                raise RegistryUnreachable(host=host, detail=f"it answers {said}", detail_ja=f"応答は {said} でした")
            return content
    except httpx.HTTPError as error:
        raise _unreachable(url, error) from error


def _one(frame: bytes, url: str) -> Signed:
    host = urlsplit(url).hostname or url
    try:
        messages = read_frame(frame, LIMITS)
    except Malformed as error:
        detail, detail_ja = "what answers is no rengo coordinator", "応答したのは rengo の事務局ではありません"
        raise RegistryUnreachable(host=host, detail=detail, detail_ja=detail_ja) from error
    if len(messages) != 1:
        raise SignatureInvalid(what="the registry's answer")
    return messages[0]


def _bounded(response: httpx.Response, host: str) -> bytes:
    """The answer as it travels. Raises RegistryUnreachable for one without an end, in bytes or in time."""
    until, answer = time.monotonic() + _SECONDS, bytearray()
    for chunk in response.iter_raw():
        answer += chunk
        if len(answer) > _LARGEST or time.monotonic() > until:
            raise RegistryUnreachable(host=host, detail="its answer does not end", detail_ja="応答が終わりません")
    return bytes(answer)


def _refused(message: Signed) -> bool:
    return message.header.kind == Refused.kind


def _unreachable(url: str, error: httpx.HTTPError) -> RengoError:
    """What went wrong, in the words of whoever can mend it; a proxy's password is never among them."""
    host, port = _host_port(url)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return CertificateUntrusted(host=host, detail=cause.verify_message)
    try:
        # httpx tells a refused or silent proxy from a refused or silent coordinator by its words at best.
        proxy.require_passing(host, port)
    except RengoError as of_proxy:
        return of_proxy
    through = proxy.proxy_for(host, port)
    by, by_ja = (f", through the proxy {through.place}", f"、プロキシ {through.place} 経由") if through else ("", "")
    said = printable(str(error)[:120]) or type(error).__name__
    return RegistryUnreachable(host=host, detail=said + by, detail_ja=said + by_ja)
