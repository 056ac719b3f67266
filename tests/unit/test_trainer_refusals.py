"""Base models, targets and devices that a trainer refuses, each with what is wrong with it."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from clients.trainer import Trainer
from federation.errors import DeviceUnavailable, ModelFolderInvalid, UnknownLoraTarget
from tests.unit.test_trainer import BASE, LORA, MODEL


class TestRefusals:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(BASE, tmp_path / "model"))

    def edit(self, folder: Path, name: str, **changes: Any) -> None:
        values = json.loads((folder / name).read_text()) | changes
        kept = {key: value for key, value in values.items() if value is not None}
        (folder / name).write_text(json.dumps(kept))

    def refused(self, folder: Path) -> str:
        with pytest.raises(ModelFolderInvalid) as caught:
            Trainer(folder, MODEL, LORA)
        assert "Traceback" not in str(caught.value)
        return str(caught.value.facts["detail"])

    def test_a_tokenizer_without_an_end(self, folder: Path) -> None:
        self.edit(folder, "tokenizer_config.json", eos_token=None)
        assert self.refused(folder) == "its tokenizer has no end-of-text token"

    def test_an_unknown_target(self) -> None:
        with pytest.raises(UnknownLoraTarget) as caught:
            Trainer(BASE, MODEL, dataclasses.replace(LORA, targets=("q_proj", "c_attn", "proj", "lm_head")))
        assert caught.value.facts["missing"] == "c_attn, lm_head, proj"
        assert caught.value.facts["available"] == "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
        assert caught.value.text("en").endswith(
            "v_proj. For a model of this kind (llama) there is `model=llm_jp | sarashina | swallow`."
        )
        assert "`model=llm_jp | sarashina | swallow` があります" in caught.value.text("ja")

    @pytest.mark.parametrize("device", ["cuda:99", "mps", "cuda:x", "gpu"])
    def test_a_device_that_is_not_there(self, device: str) -> None:
        with pytest.raises(DeviceUnavailable, match="cpu") as caught:
            Trainer(BASE, dataclasses.replace(MODEL, device=device), LORA)
        assert caught.value.exit_code == 3
        assert device in caught.value.text("ja")

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
    def test_cuda_where_there_is_none(self) -> None:
        with pytest.raises(DeviceUnavailable, match="no device cuda for torch"):
            Trainer(BASE, dataclasses.replace(MODEL, device="cuda"), LORA)

    def test_an_unknown_architecture(self, folder: Path) -> None:
        self.edit(folder, "config.json", model_type="unheard-of")
        with pytest.raises(ModelFolderInvalid) as caught:
            Trainer(folder, MODEL, LORA)
        assert caught.value.__cause__ is not None

    def test_weights_that_do_not_fit_the_config(self, folder: Path) -> None:
        self.edit(folder, "config.json", num_hidden_layers=7)
        assert self.refused(folder).startswith("its weights do not contain model.layers.6.")

    def test_broken_weights(self, folder: Path) -> None:
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
        assert self.refused(folder).startswith("the model does not load")

    def test_a_sentencepiece_vocabulary_alone(self, folder: Path) -> None:
        (folder / "tokenizer.json").rename(folder / "tokenizer.model")
        assert "there is no tokenizer.json" in self.refused(folder)

    def test_a_broken_tokenizer(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")
        assert self.refused(folder).startswith("its tokenizer does not load")
