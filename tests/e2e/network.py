"""Two networks on this machine and a link between them that is slow, loses packets, is cut, or lets one port through.

Linux network namespaces, and a link of our own between two TUN devices: not every kernel has `tc netem`. What is lost
is lost for TCP: packets vanish, nobody is told.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001
_TUN = Path("/dev/net/tun")
_QUEUE = 64 << 10
"""Bytes that wait at most for a slow link, in either direction."""
OFFICE, SITE = "10.77.0.1", "10.77.0.2"


def why_not() -> str:
    """Why this machine permits no networks of our own; empty when it does."""
    if not _TUN.exists():
        return f"there is no {_TUN}"
    found = subprocess.run(
        ["unshare", "--net", "ip", "tuntap", "add", "dev", "try", "mode", "tun"], capture_output=True
    )
    return found.stderr.decode(errors="replace").strip() if found.returncode else ""


class Network:
    """One of the two: what a thread of its own does is in it, and so is all that this starts. The thread lives as long
    as the network: programs that end with their parent end with the thread that started them."""

    def __init__(self, namespace: int) -> None:
        self._thread = ThreadPoolExecutor(1, initializer=lambda: _check(_libc.setns(namespace, _NEW_NETWORK)))

    def inside(self, do: Callable[[], T]) -> T:
        """What `do` returns, or raises."""
        return self._thread.submit(do).result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


@dataclass
class Link:
    """Between `office` and `site`. `delay`: seconds one way; `rate`: bytes a second each way; `loss`: the share of
    packets that vanish; `cut`: all vanish; `port`: where set, only TCP to this port of the office, and back, passes."""

    office: Network
    site: Network
    ends: tuple[int, int]
    delay: float = 0.0
    rate: float = 1e9
    loss: float = 0.0
    cut: bool = False
    port: int = 0
    passed: int = 0
    _free: dict[int, float] = field(default_factory=dict)
    _waiting: list[tuple[float, int, int, bytes]] = field(default_factory=list)

    def carry(self, ended: threading.Event) -> None:
        """Take packets from one end to the other until `ended`."""
        a, b = self.ends
        drawn = random.Random(1)
        while not ended.is_set():
            wait = max(0.0, min(0.05, self._waiting[0][0] - time.monotonic())) if self._waiting else 0.05
            for end in select.select([a, b], [], [], wait)[0]:
                packet = os.read(end, 65536)
                if not self.cut and drawn.random() >= self.loss and self._may_pass(packet, from_site=end == b):
                    self._send(packet, b if end == a else a)
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(self._waiting)
                os.write(end, packet)

    def _send(self, packet: bytes, end: int) -> None:
        now = time.monotonic()
        free = max(now, self._free.get(end, now))
        if (free - now) * self.rate > _QUEUE:
            return
        self._free[end] = free + len(packet) / self.rate
        self.passed += len(packet)
        heapq.heappush(self._waiting, (self._free[end] + self.delay, self.passed, end, packet))

    def _may_pass(self, packet: bytes, from_site: bool) -> bool:
        if packet[0] >> 4 != 4:
            return False
        head = (packet[0] & 15) * 4
        ports = struct.unpack_from(">HH", packet, head) if len(packet) >= head + 4 else (0, 0)
        return not self.port or (packet[9] == 6 and ports[from_site] == self.port)


@contextmanager
def linked() -> Iterator[Link]:
    """An office and a site, and the link between them, until the block ends."""
    made: list[Link] = []
    ended, ready = threading.Event(), threading.Event()

    def run() -> None:
        office, a = _network("wan", OFFICE)
        site, b = _network("lan", SITE)
        made.append(Link(Network(office), Network(site), (a, b)))
        ready.set()
        made[0].carry(ended)
        for handle in (office, site, a, b):
            os.close(handle)

    thread = threading.Thread(target=run, name="link")
    thread.start()
    ready.wait(10)
    try:
        yield made[0]
    finally:
        made[0].office.close()
        made[0].site.close()
        ended.set()
        thread.join()


def _network(name: str, address: str) -> tuple[int, int]:
    """A new network that this thread is in from now on, and its end of the link."""
    _check(_libc.unshare(_NEW_NETWORK))
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    end = os.open(_TUN, os.O_RDWR)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
    for words in (f"addr add {address}/24 dev {name}", f"link set {name} up", "link set lo up"):
        subprocess.run(["ip", *words.split()], check=True)
    return namespace, end


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_libc = ctypes.CDLL(None, use_errno=True)
