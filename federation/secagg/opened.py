"""The shares that members revealed, as bytes: as objects they would be most of what a coordinator holds at the end."""

from federation.secagg.messages import Revealed
from federation.secagg.shamir import SHARE_SIZE

_INDEX_SIZE = 4
_SIZE = _INDEX_SIZE + SHARE_SIZE


class Opened:
    """Shares by dealer, each behind its holder's index. Of a dealer everyone reveals the same secret's: seed or key."""

    def __init__(self) -> None:
        self._shares: dict[str, bytearray] = {}

    def add(self, holder: int, revealed: Revealed) -> None:
        """What the member of this index (its abscissa) revealed, checked."""
        index = holder.to_bytes(_INDEX_SIZE)
        for dealer, share in (*revealed.seed_shares.items(), *revealed.key_shares.items()):
            self._shares.setdefault(dealer, bytearray()).extend(index + share)

    def of(self, dealer: str, count: int) -> dict[int, bytes]:
        """Index -> share, of the `count` holders with the lowest indices; of all where there are fewer."""
        data = bytes(self._shares.get(dealer, b""))
        shares = sorted(data[at : at + _SIZE] for at in range(0, len(data), _SIZE))
        return {int.from_bytes(share[:_INDEX_SIZE]): share[_INDEX_SIZE:] for share in shares[:count]}
