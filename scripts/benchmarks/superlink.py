"""A SuperLink with TLS and node authentication on this machine, and the keys of sites that connect to it."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from aggregator import tls
from aggregator.carriers.flower import Flower, Servers
from benchmarks.machine import say
from clients.node_process import Node, NodeProcess

Door = tuple[Path, Path]
"""Where a member's service listens, and the file with the key to it."""


def node_key(folder: Path) -> str:
    """Make `node.key` in a site's folder; its public half (OpenSSH)."""
    key = ec.generate_private_key(ec.SECP384R1())
    (folder / "node.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@contextmanager
def superlink(
    folder: Path, keys: Mapping[str, str], door: Callable[[str], Door], largest: int
) -> Iterator[tuple[Flower, int]]:
    """SuperLink, relay and a node for each member of `keys`, all connected: the carrier, and the SuperLink's port. A
    member's folder is `folder` / its name. `largest`: bytes of an answer."""
    files = _certificates(folder)
    port = free_port()
    carrier = Flower(Servers("127.0.0.1", port, *files), keys, folder / "coordinator", largest)
    nodes: list[NodeProcess] = []
    try:
        started = time.monotonic()
        carrier.online()
        say(f"SuperLink and relay are there after {time.monotonic() - started:.0f} s")
        for name in keys:
            site = (files[2], folder / name / "node.key", *door(name), folder / name / "flower")
            nodes.append(NodeProcess(Node(f"127.0.0.1:{port}", *site, free_port())))
        while len(carrier.online()) < len(keys):
            time.sleep(0.5)
        say(f"{len(keys)} nodes are connected after {time.monotonic() - started:.0f} s")
        yield carrier, port
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(NodeProcess.stop, nodes))
        carrier.close()


def _certificates(folder: Path) -> Sequence[Path]:
    """The server's certificate, its key, and the authority's certificate."""
    authority_key, authority = tls.make_authority("bench")
    key, certificate = tls.make_server(authority_key, authority, ["127.0.0.1"])
    files = [folder / name for name in ("server.pem", "tls.key", "authority.pem")]
    for path, data in zip(files, (certificate, key, authority), strict=True):
        path.write_bytes(data)
    return files


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
