"""Server optimisers (Reddi et al. 2021, "Adaptive Federated Optimization"): the mean update -> the step that is taken.

Here and not in `aggregator/`, because every member computes the next adapter too and refuses one that differs
(docs/adr/0002).
"""

import numpy as np

from federation.plan import ServerOptim
from federation.tensors import Array, Means


def step(optim: ServerOptim, mean: Means) -> dict[str, Array]:
    """FedAvg (McMahan et al. 2017): the mean, times the server's learning rate, as float32."""
    return {name: (optim.learning_rate * array).astype(np.float32) for name, array in mean.items()}
