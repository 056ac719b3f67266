"""A Merkle tree over a dealer's leaves (RFC 9162, section 2.1, with this protocol's digests): its root is signed and
goes to everyone, and each recipient gets the path from its own leaf. What stands alone at the end of a level moves up
as it is.
"""

from collections.abc import Sequence

from federation.secagg.contexts import node
from federation.wire import DIGEST_SIZE


def root_and_paths(leaves: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The root, and for each leaf the hashes beside its way up, from below, joined. At least one leaf."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = [below[at : at + 2] for at in range(0, len(below), 2)]
        levels.append([node(*pair) if len(pair) == 2 else pair[0] for pair in pairs])
    return levels[-1][0], [b"".join(_beside(levels, at)) for at in range(len(leaves))]


def _beside(levels: Sequence[Sequence[bytes]], at: int) -> list[bytes]:
    positions = [(level, (at >> height) ^ 1) for height, level in enumerate(levels[:-1])]
    return [level[beside] for level, beside in positions if beside < len(level)]


def path_size(at: int, count: int) -> int:
    """Bytes of the path from leaf `at` of `count`."""
    size = 0
    while count > 1:
        size += DIGEST_SIZE if at ^ 1 < count else 0
        at, count = at // 2, (count + 1) // 2
    return size


def root_from(leaf: bytes, at: int, count: int, path: bytes) -> bytes | None:
    """The root that `path` leads to from leaf `at` of `count`. None: a path of another length than it would have."""
    if len(path) != path_size(at, count):
        return None
    reached = leaf
    while count > 1:
        if at ^ 1 < count:
            beside, path = path[:DIGEST_SIZE], path[DIGEST_SIZE:]
            reached = node(beside, reached) if at & 1 else node(reached, beside)
        at, count = at // 2, (count + 1) // 2
    return reached
