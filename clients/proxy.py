"""The site's proxy, as the environment names it, and why it lets nothing through: for `doctor`, for calls of the
registry that failed, and for the node's way to the carrier. A proxy's password is in no message."""

import base64
import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from federation.errors import RengoError
from federation.text import printable

SECONDS: float = 10
_LARGEST_HEAD = 64 << 10
_KINDS = ("http", "https")


class ProxyInvalid(RengoError):
    """HTTPS_PROXY names no proxy that rengo can use. Set it to http://HOST:PORT, or unset it."""

    ja = "HTTPS_PROXY の値が正しくありません。http://ホスト:ポート の形で設定するか、設定を外してください。"
    exit_code = 5


class ProxyUnreachable(RengoError):
    """The proxy {proxy}, which HTTPS_PROXY names, does not answer: {detail}. The coordinator was not reached. Mend
    HTTPS_PROXY, or ask the network team about the proxy."""

    ja = (
        "HTTPS_PROXY のプロキシ {proxy} が応答しません（{detail_ja}）。事務局には接続していません。"
        "HTTPS_PROXY を確認するか、ネットワーク担当に問い合わせてください。"
    )
    exit_code = 5


class ProxySilent(RengoError):
    """The proxy {proxy} took the connection and did not say within {seconds} s whether it reaches {place}: it hangs,
    or waits for {place} itself. Ask the network team about the proxy, and the coordinator whether it runs."""

    ja = (
        "プロキシ {proxy} は接続を受け付けましたが、{seconds} 秒以内に {place} への接続可否を返しません。"
        "プロキシの停止か、接続先の無応答です。ネットワーク担当と事務局に確認してください。"
    )
    exit_code = 5


class ProxyRefused(RengoError):
    """The proxy {proxy} refuses a connection to {place}: {status}. {advice}"""

    ja = "プロキシ {proxy} が {place} への接続を拒否しました: {status}。{advice_ja}"
    exit_code = 5

    @property
    def found_nobody(self) -> bool:
        """It would have connected, and nobody answered there (502, 503, 504)."""
        return str(self.facts["status"]).startswith(("502", "503", "504"))


@dataclass(frozen=True)
class Proxy:
    """Where connections go first. `authorization`: for its Proxy-Authorization header; empty without a user's name."""

    scheme: str
    host: str
    port: int
    authorization: str = field(repr=False)

    @property
    def place(self) -> str:
        """host:port, without a user's name or password."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What it wants to be sent with each CONNECT."""
        return {"Proxy-Authorization": self.authorization} if self.authorization else {}


def proxy_for(host: str, port: int) -> Proxy | None:
    """The proxy that the environment names for https://host:port (HTTPS_PROXY, ALL_PROXY, but NO_PROXY). Raises
    ProxyInvalid."""
    named = getproxies()
    address = named.get("https") or named.get("all")
    if not address or proxy_bypass(f"{host}:{port}"):
        return None
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if not parts.hostname or parts.scheme not in _KINDS:
            raise ProxyInvalid
        return Proxy(parts.scheme, parts.hostname, parts.port or 80, _basic(parts))
    except ValueError as error:  # a port that is no number, brackets that do not close
        raise ProxyInvalid from error


def require_passing(host: str, port: int) -> None:
    """Raises ProxyInvalid, ProxyUnreachable, ProxySilent or ProxyRefused when there is a proxy and it does not connect
    to host:port."""
    if through := proxy_for(host, port):
        with tunnel(through, host, port):
            pass


@contextlib.contextmanager
def tunnel(through: Proxy, host: str, port: int) -> Iterator[socket.socket]:
    """A connection to host:port through the proxy (RFC 9110 section 9.3.6). Raises ProxyUnreachable, ProxySilent or
    ProxyRefused."""
    place = f"{host}:{port}"
    if through.scheme != "http":
        advice = "Only HTTP proxies are supported: HTTPS_PROXY=http://HOST:PORT."
        advice_ja = "対応しているのは HTTP プロキシだけです: HTTPS_PROXY=http://ホスト:ポート"
        facts = {"proxy": through.place, "place": place, "status": f"{through.scheme}://"}
        raise ProxyRefused(**facts, advice=advice, advice_ja=advice_ja)
    try:
        connection = socket.create_connection((through.host, through.port), timeout=SECONDS)
    except OSError as error:
        raise ProxyUnreachable(proxy=through.place, detail=reason(error), detail_ja=reason(error)) from error
    with connection:
        _ask(connection, through, place)
        yield connection


def reason(error: Exception) -> str:
    """What the operating system says."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:120]


def _ask(connection: socket.socket, through: Proxy, place: str) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in {"Host": place, **through.headers}.items())
    request = f"CONNECT {place} HTTP/1.1\r\n{headers}\r\n"
    try:
        connection.sendall(request.encode())
        head = _head(connection)
    except TimeoutError as error:
        raise ProxySilent(proxy=through.place, place=place, seconds=SECONDS) from error
    except OSError as error:
        raise ProxyUnreachable(proxy=through.place, detail=reason(error), detail_ja=reason(error)) from error
    status = re.match(r"HTTP/1\.[01] (\d{3})[^\r\n]*", head)
    if status is None:
        detail, detail_ja = "it is no HTTP proxy", "HTTP プロキシではありません"
        raise ProxyUnreachable(proxy=through.place, detail=detail, detail_ja=detail_ja)
    if not status[1].startswith("2"):
        en, ja = _advice(status[1], head, through)
        words = printable(status[0].partition(" ")[2][:80])
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
    if status in ("502", "503", "504"):
        return (
            "Nobody answers the proxy there: ask the coordinator whether it runs, and the network team whether the "
            "proxy may connect to it.",
            "プロキシからその接続先に届きません。事務局が動作中か、プロキシからの接続が許可されているかを確認してください。",
        )
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
    """The user and password in a proxy's address, as RFC 7617 sends them; empty without."""
    if parts.username is None:
        return ""
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(words.encode()).decode()}"
