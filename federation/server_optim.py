"""Server optimisers (Reddi et al. 2021, "Adaptive Federated Optimization"): the mean update -> the step that is taken.

Here and not in `aggregator/`, because every member computes the next adapter too and refuses one that differs
(docs/adr/0002). For the same reason a velocity is public, and travels with the adapter.
"""

import numpy as np

from federation.plan import ServerOptim
from federation.tensors import Array, Means, Shapes, Tensors


def first_velocity(optim: ServerOptim, uploads: Shapes) -> dict[str, Array]:
    """Before the first round: zeros of what it uploads; nothing without momentum."""
    shapes = {} if optim.momentum is None else uploads
    return {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}


def next_velocity(optim: ServerOptim, velocity: Tensors, mean: Means) -> dict[str, Array]:
    """FedAvgM (Hsu, Qi & Brown 2019): momentum x velocity + mean, as float32. FedAvg has none."""
    if optim.momentum is None:
        return {}
    return {name: (optim.momentum * velocity[name].astype(np.float64) + mean[name]).astype(np.float32) for name in mean}


def step(optim: ServerOptim, velocity: Tensors, mean: Means) -> dict[str, Array]:
    """The server's learning rate times the (new) velocity, or without one the mean: FedAvg (McMahan et al. 2017)."""
    taken = mean if optim.momentum is None else velocity
    return {name: (optim.learning_rate * array.astype(np.float64)).astype(np.float32) for name, array in taken.items()}
