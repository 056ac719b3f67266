"""Flower's SecAgg+ (flwr 1.41) at one client and at the coordinator, every member the neighbour of every other.

The client runs the four stages of Flower's own client module. The coordinator's stages need a grid of clients around
them in Flower; here they stand in the same order, over the same library functions. One client's answers stand for all
clients', so that what the coordinator gets has the right size, and makes no sense as a sum.
"""

import importlib
import time
from typing import Any

import numpy as np
from flwr.common import NDArrays, bytes_to_ndarray, ndarrays_to_parameters
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import encrypt, generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_extract,
    get_parameters_shape,
    parameters_addition,
    parameters_mod,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize
from flwr.common.secure_aggregation.secaggplus_constants import Key
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen, share_keys_plaintext_concat
from flwr.supercore.primitives.asymmetric import bytes_to_private_key, bytes_to_public_key

from federation.plan import least_quorum

CLIPPING_RANGE = 0.1
# By name: its package has a function of the same name in its place.
stages = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")


class Job:
    """One aggregation: node ids are 1 to `members`, and the last `dropped` of them are gone when vectors are due."""

    def __init__(self, values: int, members: int, dropped: int, bits: int) -> None:
        self.nodes, self.alive = range(1, members + 1), range(1, members - dropped + 1)
        self.threshold, self.modulus = least_quorum(members), 1 << bits
        # Powers of two: the largest of which all members' sum stays below the modulus.
        self.levels = 1 << (bits - members.bit_length())
        self.update = np.random.default_rng(1).normal(0, 0.03, values).astype(np.float32)
        self.client = len(self.alive) // 2
        self.states = {node: stages.SecAggPlusState() for node in self.nodes}

    @property
    def setup(self) -> dict[str, Any]:
        """What the coordinator tells every client first."""
        names = (Key.SAMPLE_NUMBER, Key.SHARE_NUMBER, Key.THRESHOLD, Key.CLIPPING_RANGE, Key.TARGET_RANGE)
        told = (len(self.nodes), len(self.nodes), self.threshold, CLIPPING_RANGE, self.levels)
        return dict(zip(names, told, strict=True)) | {Key.MOD_RANGE: self.modulus, Key.MAX_WEIGHT: 1.0}


def measure(values: int, members: int, dropped: int, bits: int) -> tuple[float, float]:
    """CPU seconds of (a client, the coordinator)."""
    job = Job(values, members, dropped, bits)
    for node in job.nodes:
        if node != job.client:
            _announce(job, node)
    client, masked = _client(job)
    return client, _coordinator(job, masked)


def _announce(job: Job, node: int) -> None:
    job.states[node].nid = node
    stages._setup(job.states[node], job.setup)


def _client(job: Job) -> tuple[float, list[bytes]]:
    """CPU seconds of the client in the middle, and its masked vector."""
    parameters, state = ndarrays_to_parameters([job.update]), job.states[job.client]
    started = time.process_time()
    _announce(job, job.client)
    setup_seconds = time.process_time() - started
    keys: dict[str, Any] = {str(node): (each.pk1, each.pk2) for node, each in job.states.items()}
    others = [node for node in job.nodes if node != job.client]
    inbox: dict[str, Any] = {Key.SOURCE_LIST: others, Key.CIPHERTEXT_LIST: _envelopes(job, others)}
    gone = [node for node in job.nodes if node not in job.alive]
    asked: dict[str, Any] = {Key.ACTIVE_NODE_ID_LIST: list(job.alive), Key.DEAD_NODE_ID_LIST: gone}
    started = time.process_time()
    stages._share_keys(state, keys)
    answer = stages._collect_masked_vectors(state, inbox, 1, parameters)
    stages._unmask(state, asked)
    seconds = setup_seconds + time.process_time() - started
    masked: Any = answer[Key.MASKED_PARAMETERS]
    return seconds, masked


def _envelopes(job: Job, others: list[int]) -> list[bytes]:
    """What the others sealed for the client."""
    mine = bytes_to_public_key(job.states[job.client].pk2)
    share = create_shares(bytes(32), job.threshold, len(job.nodes))[0]
    sealed = []
    for node in others:
        shared_key = generate_shared_key(bytes_to_private_key(job.states[node].sk2), mine)
        sealed.append(encrypt(shared_key, share_keys_plaintext_concat(node, job.client, share, share)))
    return sealed


def _coordinator(job: Job, masked: list[bytes]) -> float:
    """CPU seconds of the stages "collect masked vectors" and "unmask"; the two before only pass messages on."""
    seeds = create_shares(job.states[job.client].rd_seed, job.threshold, len(job.nodes))
    keys = {
        node: create_shares(job.states[node].sk1, job.threshold, len(job.nodes))
        for node in job.nodes
        if node not in job.alive
    }
    started = time.process_time()
    total = [bytes_to_ndarray(data) for data in masked]
    for _ in job.alive[1:]:
        total = parameters_addition(total, [bytes_to_ndarray(data) for data in masked])
    total = parameters_mod(total, job.modulus)
    for node in job.nodes:
        secret = combine_shares(keys.get(node, seeds)[: len(job.alive)])
        total = _unmasked(job, total, node, secret)
    weight, quantised = factor_extract(parameters_mod(total, job.modulus))
    for array in dequantize(quantised, CLIPPING_RANGE, job.levels):
        array += -(len(job.alive) - 1) * CLIPPING_RANGE
        array *= job.levels / max(weight, 1)
    return time.process_time() - started


def _unmasked(job: Job, total: NDArrays, node: int, secret: bytes) -> NDArrays:
    """`total` without the masks that a recovered secret gives: a seed of who is alive, a private key of who is gone."""
    shapes: Any = get_parameters_shape(total)
    if node in job.alive:
        return parameters_subtraction(total, pseudo_rand_gen(secret, job.modulus, shapes))
    for peer in job.nodes:
        if peer != node:
            public = bytes_to_public_key(job.states[peer].pk1)
            shared_key = generate_shared_key(bytes_to_private_key(secret), public)
            mask = pseudo_rand_gen(shared_key, job.modulus, shapes)
            total = (parameters_addition if node > peer else parameters_subtraction)(total, mask)
    return total
