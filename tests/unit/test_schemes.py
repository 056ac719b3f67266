"""FedIT: linear in what members upload, and a first adapter that changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.plan import Lora, Scheme
from federation.schemes import fedit, scheme_named
from federation.tensors import Array, digest, shapes_of

SHAPES = {"model.layers.0.q_proj": (6, 4), "model.layers.1.q_proj": (6, 4), "model.layers.1.down_proj": (3, 10)}
LORA = Lora(r=2, alpha=4.0, targets=("q_proj", "down_proj"))
FIRST = fedit.init(SHAPES, LORA, seed=7)


def perturbed(seed: int, scale: float = 0.1) -> dict[str, Array]:
    """What a member may have after training."""
    draw = np.random.default_rng(seed)
    return {n: (a + draw.normal(0, scale, a.shape)).astype(np.float32) for n, a in FIRST.factors.items()}


def mean_of(updates: list[dict[str, Array]]) -> dict[str, Array]:
    return {
        name: np.stack([u[name] for u in updates]).mean(axis=0, dtype=np.float64).astype("f4") for name in updates[0]
    }


def test_a_plan_names_its_scheme() -> None:
    assert scheme_named(Scheme("fedit")) is fedit


class TestFirstAdapter:
    def test_changes_nothing(self) -> None:
        for layer in SHAPES:
            assert not (FIRST.factors[f"{layer}.lora_B"] @ FIRST.factors[f"{layer}.lora_A"]).any()
            assert FIRST.factors[f"{layer}.lora_A"].any()

    def test_has_the_shapes_of_its_layers(self) -> None:
        expected = {f"{layer}.lora_A": (2, size) for layer, (_, size) in SHAPES.items()}
        expected |= {f"{layer}.lora_B": (size, 2) for layer, (size, _) in SHAPES.items()}
        assert shapes_of(FIRST.factors) == expected
        assert {array.dtype.name for array in FIRST.factors.values()} == {"float32"}
        assert FIRST.round == 0

    def test_draws_a_as_peft_does(self) -> None:
        """Uniform in +-1/sqrt(in): bounds, mean and variance, each to 6 standard errors of a seeded draw."""
        a = fedit.init({"w": (1, 400)}, Lora(64, 64.0, ("w",)), seed=1).factors["w.lora_A"] * np.sqrt(400)
        assert 0.999 < np.abs(a).max() <= 1 + 1e-6
        assert abs(a.mean()) < 6 * np.sqrt(1 / 3 / a.size)
        assert abs(a.var() - 1 / 3) < 6 * np.sqrt(4 / 45 / a.size)

    def test_depends_on_the_seed_and_the_layer_alone(self) -> None:
        same, other = fedit.init(dict(reversed(SHAPES.items())), LORA, seed=7), fedit.init(SHAPES, LORA, seed=8)
        alone = fedit.init({"model.layers.1.q_proj": (6, 4)}, LORA, seed=7)
        name = "model.layers.1.q_proj.lora_A"
        assert digest(same.factors) == digest(FIRST.factors)
        np.testing.assert_array_equal(alone.factors[name], FIRST.factors[name])
        assert (other.factors[name] != FIRST.factors[name]).all()
        assert (FIRST.factors["model.layers.0.q_proj.lora_A"] != FIRST.factors[name]).all()


class TestLinear:
    @given(st.lists(st.integers(0, 2**32), min_size=1, max_size=8))
    @settings(max_examples=20)
    def test_the_mean_of_encodings_is_the_encoding_of_the_mean(self, seeds: list[int]) -> None:
        members = [perturbed(seed) for seed in seeds]
        left = mean_of([fedit.encode(FIRST, local) for local in members])
        right = fedit.encode(FIRST, mean_of(members))
        for name in left:
            np.testing.assert_allclose(left[name], right[name], atol=1e-6)

    @given(st.lists(st.integers(0, 2**32), min_size=1, max_size=8))
    @settings(max_examples=20)
    def test_applying_the_mean_gives_the_mean_of_the_members(self, seeds: list[int]) -> None:
        members = [perturbed(seed) for seed in seeds]
        state = fedit.apply(FIRST, mean_of([fedit.encode(FIRST, local) for local in members]))
        expected = mean_of(members)
        assert state.round == 1
        for name in expected:
            np.testing.assert_allclose(state.factors[name], expected[name], atol=1e-6)

    def test_what_was_not_trained_is_encoded_as_zero(self) -> None:
        assert not any(array.any() for array in fedit.encode(FIRST, FIRST.factors).values())

    def test_uploads_have_the_stated_shapes(self) -> None:
        assert shapes_of(fedit.encode(FIRST, perturbed(1))) == fedit.upload_shapes(FIRST)


def test_members_train_both_factors_of_every_layer() -> None:
    assert fedit.trainable(FIRST) == set(FIRST.factors)


@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
def test_the_export_names_a_factor_after_its_layer(factor: str) -> None:
    assert {name for name in fedit.export(FIRST) if name.endswith(factor)} == {f"{layer}.{factor}" for layer in SHAPES}
