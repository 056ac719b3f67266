"""The facts about a model folder: its digest, and what is refused before anything is loaded."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from federation import base_model
from federation.errors import ModelFolderInvalid

BASE = Path(__file__).parents[2] / "aggregator/simulate/demo/base"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BASE, tmp_path / "model"))


def refused(folder: Path) -> str:
    with pytest.raises(ModelFolderInvalid) as caught:
        base_model.digest(folder)
    assert caught.value.facts["detail_ja"]
    return str(caught.value.facts["detail"])


def test_digest_is_what_sha256sum_of_sha256sum_prints() -> None:
    names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    lines = "".join(f"{hashlib.sha256((BASE / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert base_model.hashed_files(BASE) == tuple(names)
    assert base_model.digest(BASE) == hashlib.sha256(lines.encode()).hexdigest()


def test_digest_does_not_depend_on_the_place_or_on_other_files(folder: Path) -> None:
    (folder / "README.md").write_text("another")
    (folder / "generation_config.json").unlink()
    assert base_model.digest(folder) == base_model.digest(BASE)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_digest_changes_with_a_byte_of_any_covered_file(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1:] = b"\n" + data[-1:] if name.endswith(".json") else bytes([data[-1] ^ 1])
    (folder / name).write_bytes(data)
    assert base_model.digest(folder) != base_model.digest(BASE)


def test_digest_changes_when_two_files_swap_their_contents(folder: Path) -> None:
    (folder / "added_tokens.json").write_text("{}")
    (folder / "special_tokens_map.json").write_text("{ }")
    before = base_model.digest(folder)
    (folder / "added_tokens.json").write_text("{ }")
    (folder / "special_tokens_map.json").write_text("{}")
    assert base_model.digest(folder) != before


def test_a_folder_of_links_as_in_a_model_cache_is_read(folder: Path, tmp_path: Path) -> None:
    links = tmp_path / "snapshot"
    links.mkdir()
    for file in folder.iterdir():
        (links / file.name).symlink_to(file)
    assert base_model.digest(links) == base_model.digest(folder)


def test_no_such_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere") == "there is no such folder"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights (*.safetensors)"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_a_file_is_missing(folder: Path, name: str, reason: str) -> None:
    (folder / name).unlink()
    assert reason in refused(folder)


def test_pickles_are_never_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "only safetensors are read" in refused(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff"])
def test_broken_json(folder: Path, name: str, text: bytes) -> None:
    (folder / name).write_bytes(text)
    assert name in refused(folder)
    assert "JSON" in refused(folder)


def test_program_code_is_refused(folder: Path) -> None:
    (folder / "modeling_other.py").write_text("raise SystemExit")
    assert "modeling_other.py" in refused(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_auto_map_is_refused(folder: Path, name: str) -> None:
    values = json.loads((folder / name).read_text()) | {"auto_map": {"AutoConfig": "a.B"}}
    (folder / name).write_text(json.dumps(values))
    assert "auto_map" in refused(folder)


def test_an_adapter_is_not_a_base(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    assert "LoRA adapter" in refused(folder)


def test_a_git_lfs_pointer_is_recognised(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "Git LFS" in refused(folder)


def test_cut_off_weights_are_recognised(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    for cut in (0, 8, 100):
        (folder / "model.safetensors").write_bytes(data[:cut])
        assert "not a whole safetensors file" in refused(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert "neither model.safetensors nor" in refused(folder)
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert refused(folder).startswith("model-00002-of-00002.safetensors is missing")
