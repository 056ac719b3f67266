"""Whether work grows in proportion: a ratio within one process, which says the same on a slow or busy machine."""

import gc
import time
from collections.abc import Callable

LINEAR = 20
"""Above this, eight times as much takes more than its share: 8 in proportion, 64 by the square."""


def growth(work: Callable[[int], object], size: int) -> float:
    """How many times longer 8 * `size` takes than `size`: time of this thread, the best of three, without the collector
    (which walks over all that other tests left). `size` should take some milliseconds."""
    return _seconds(work, 8 * size) / _seconds(work, size)


def _seconds(work: Callable[[int], object], size: int) -> float:
    took = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            started = time.thread_time()
            work(size)
            took.append(time.thread_time() - started)
    finally:
        gc.enable()
    return min(took)
