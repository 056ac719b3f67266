"""What `rengo coordinator init` makes: settings that later commands can use, keys, certificates and a first roster."""

import ipaddress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from aggregator import serving, tls
from aggregator.home import Home, Settings, write_private
from federation.errors import UsageError
from federation.identity import COORDINATOR, Identity, Roster, SignedRoster
from federation.registry import is_address

HTTPS_PORT = 443
"""Where an https URL leads that names no port."""
_HIGHEST_PORT = 65535


def addresses(url: str, carrier: str | None) -> tuple[str, str]:
    """The registry's URL and the carrier's HOST:PORT, by default the port after the registry's. Raises UsageError."""
    url = url.rstrip("/")
    parts = urlsplit(url)
    if not _is_plain(parts):
        raise _usage(
            "--url has to be https://HOST:PORT, or https://HOST for port 443.",
            "--url は https://ホスト:ポート、またはポート 443 なら https://ホスト の形で指定してください。",
        )
    host, port = _host(parts), parts.port or HTTPS_PORT
    if carrier is None:
        if port == _HIGHEST_PORT:
            raise _usage(
                f"--url has port {port}, after which there is none for the carrier: give --carrier HOST:PORT.",
                f"--url のポート {port} の次のポートがないため、通信路を --carrier ホスト:ポート で指定してください。",
            )
        carrier = f"{host}:{port + 1}"
    if not is_address(carrier):
        raise _usage("--carrier has to be HOST:PORT.", "--carrier は ホスト:ポート の形で指定してください。")
    if int(carrier.rpartition(":")[2]) == port:
        raise _usage(
            f"--carrier has the registry's port, {port}: the two need one each.",
            f"--carrier のポート {port} は受付と同じです。別のポートを指定してください。",
        )
    return url, carrier


def require_listenable(address: str) -> None:
    """Raises UsageError unless it is an IP address, of one of this machine's interfaces or of all (0.0.0.0, ::)."""
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise _usage(
            "--listen has to be an IP address of this machine, or 0.0.0.0 for all.",
            "--listen には、この機械の IP アドレスか 0.0.0.0（すべて）を指定してください。",
        ) from error


def make_keys(home: Home, settings: Settings, root_key: Path) -> bytes:
    """Keys, certificates and roster 1 of a new consortium; the root's public key."""
    coordinator, root = Identity.create(COORDINATOR), Identity.create("root")
    authority_key, authority = tls.make_authority(settings.consortium)
    reached = [urlsplit(settings.url).hostname or "", settings.carrier.rpartition(":")[0].strip("[]")]
    hosts = list(dict.fromkeys([*reached, "127.0.0.1", "localhost"]))
    server_key, server = tls.make_server(authority_key, authority, hosts)
    files = {
        "coordinator.key": coordinator.private_bytes(),
        "authority.key": authority_key,
        "authority.pem": authority,
        "tls.key": server_key,
        "server.pem": server,
        "root.pub": root.public_key,
    }
    for name, data in files.items():
        write_private(home.key(name), data)
    registry = serving.open_registry(home)
    registry.publish_roster(SignedRoster.sign(Roster(settings.consortium, 1, coordinator.public_key, ()), root))
    registry.close()
    write_private(root_key, root.private_bytes())  # last: it may lie elsewhere, and what failed before leaves nothing
    return root.public_key


def _is_plain(parts: SplitResult) -> bool:
    """https, a host, perhaps a port that can be listened on, and nothing else."""
    try:
        port = parts.port
    except ValueError:  # not a number, or above 65535
        return False
    rest = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme == "https" and not rest and port != 0 and is_address(f"{_host(parts)}:{port or HTTPS_PORT}")


def _host(parts: SplitResult) -> str:
    """As it stands in HOST:PORT: an IPv6 address in brackets."""
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host


def _usage(detail: str, detail_ja: str) -> UsageError:
    return UsageError(detail=detail, detail_ja=detail_ja, command="rengo coordinator init")
