"""This site's clock against the coordinator's. Flower's node signs with the time of day, and the coordinator refuses
what lies outside of a window; a member says so itself, once, instead of being refused for ever."""

import time

from clients.registry_client import RegistryClient
from federation.errors import RengoError
from federation.identity import Identity
from federation.registry import Standing

MOST_AHEAD, MOST_BEHIND = 5.0, 300.0
"""Seconds; Flower 1.41 accepts a node's signature from 5 s before to 305 s after it was made."""


class ClockWrong(RengoError):
    """This machine's clock is {seconds} s {direction} of the coordinator's; at most 5 s ahead and 300 s behind are
    accepted. Mend it: `sudo timedatectl set-ntp true` (or `sudo chronyc makestep`), then try again."""

    ja = (
        "この機械の時計は事務局より {seconds} 秒{direction_ja}います（許容: 進み 5 秒・遅れ 300 秒まで）。"
        "`sudo timedatectl set-ntp true`（または `sudo chronyc makestep`）で時刻を合わせてください。"
    )
    exit_code = 6


def standing(registry: RegistryClient, identity: Identity) -> tuple[Standing, float]:
    """What stands at the registry, and this machine's clock minus the coordinator's, in seconds (to about one)."""
    asked, began = time.time(), time.monotonic()
    answer = registry.standing(identity)
    # The coordinator tells whole seconds; half of the way there and back has passed when it reads its clock.
    return answer, asked + (time.monotonic() - began) / 2 - (answer.time + 0.5)


def require_right(offset: float) -> None:
    """Raises ClockWrong."""
    if offset > MOST_AHEAD:
        raise ClockWrong(seconds=round(offset), direction="ahead", direction_ja="進んで")
    if offset < -MOST_BEHIND:
        raise ClockWrong(seconds=round(-offset), direction="behind", direction_ja="遅れて")
