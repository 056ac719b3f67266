"""Bounding one member's influence. No noise is offered: member-level differential privacy with thirty members and so
many values needs noise that drowns the update, and to pretend otherwise would be worse than to say so.
"""

import numpy as np

from federation.plan import Privacy
from federation.tensors import Array, Tensors


def clip_update(update: Tensors, privacy: Privacy) -> dict[str, Array]:
    """`update` scaled down, as a whole, to an L2 norm of at most `privacy.update_norm`; unchanged when null."""
    if privacy.update_norm is None:
        return dict(update)
    norm = float(np.sqrt(sum(float(np.square(array.astype(np.float64)).sum()) for array in update.values())))
    factor = np.float32(min(1.0, privacy.update_norm / norm) if norm > 0 else 1.0)
    return {name: (array * factor).astype(np.float32) for name, array in update.items()}
