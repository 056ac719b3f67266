"""How much somebody may take: so much at once, and so much more each second."""

import time
from collections.abc import Callable

_REMEMBERED = 10_000


class Allowance:
    """A token bucket for each of many. `burst`: at once; `per_second`: what grows back."""

    def __init__(self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, who: str) -> bool:
        """Take one; false when nothing is left, and then nothing is taken."""
        now = self._clock()
        left = self._left_of(who, now)
        if left < 1:
            return False
        if len(self._left) >= _REMEMBERED:
            # Whoever has everything left need not be remembered: strangers come under many addresses.
            self._left = {each: kept for each, kept in self._left.items() if self._left_of(each, now) < self._burst}
        self._left[who] = left - 1, now
        return True

    def _left_of(self, who: str, now: float) -> float:
        left, since = self._left.get(who, (self._burst, now))
        return min(self._burst, left + (now - since) * self._per_second)
