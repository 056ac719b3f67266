"""What can be known about a local Hugging Face model folder from its files alone, without torch.

A plan pins the base model by `digest`. Everything that may make a folder unusable and can be seen without loading
weights is checked here, so that a person hears of it in a second and not after minutes of loading.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from federation.errors import ModelFolderInvalid

# What decides how text becomes token ids. Chat templates and generation settings do not: nothing here reads them.
TOKENIZER_FILES = frozenset(
    {
        "tokenizer.json",
        "tokenizer.model",
        "spiece.model",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    }
)
# `model_type` in config.json -> the options of conf/model that are made for it.
FAMILIES = {
    "llama": ("llm_jp", "sarashina", "swallow"),
    "mistral": ("swallow",),
    "qwen2": ("tinyswallow",),
    "qwen3": ("swallow",),
}
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_INDEX = "model.safetensors.index.json"
_CHUNK_BYTES = 1 << 20


def digest(path: Path) -> str:
    """SHA-256 (hex) over config.json, the tokenizer files and all safetensors weights of the folder `path`.

    It is the hash of the lines `<sha256>  <name>` in byte order of the names, so anyone can repeat it with
    `sha256sum <those files> | sha256sum` under LC_ALL=C. Files are read in chunks: memory does not grow with them.

    Raises:
        ModelFolderInvalid: as `check` does, or when a file cannot be read.
    """
    check(path)
    lines = hashlib.sha256()
    for name in hashed_files(path):
        try:
            lines.update(f"{_sha256(path / name)}  {name}\n".encode())
        except OSError as error:
            raise invalid(path, f"{name} cannot be read ({error.strerror})", f"{name} を読めません") from error
    return lines.hexdigest()


def hashed_files(path: Path) -> tuple[str, ...]:
    """The names of the files that `digest` covers, in byte order."""
    names = [entry.name for entry in path.iterdir() if entry.is_file()]
    taken = (n for n in names if n == "config.json" or n in TOKENIZER_FILES or n.endswith((".safetensors", _INDEX)))
    return tuple(sorted(taken, key=str.encode))


def tokenizer_digest(path: Path) -> str:
    """SHA-256 (hex) over the tokenizer files alone, as `digest`: what decides, of a folder, how text becomes tokens."""
    lines = hashlib.sha256()
    for name in hashed_files(path):
        if name in TOKENIZER_FILES:
            lines.update(f"{_sha256(path / name)}  {name}\n".encode())
    return lines.hexdigest()


def linear_shapes(path: Path) -> dict[str, tuple[int, int]]:
    """Module -> (out, in) of every weight matrix in the folder's safetensors headers, sorted by name: what a
    coordinator needs to know of a model that only the members compute with. Raises ModelFolderInvalid."""
    check(path)
    shapes: dict[str, tuple[int, int]] = {}
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        for name, tensor in header.items():
            if name.endswith(".weight") and len(tensor["shape"]) == 2:
                out_size, in_size = tensor["shape"]
                shapes[name.removesuffix(".weight")] = (out_size, in_size)
    return dict(sorted(shapes.items()))


def check(path: Path) -> None:
    """Raise ModelFolderInvalid, with the reason, unless `path` looks like a model that may be loaded."""
    if not path.is_dir():
        raise invalid(path, "there is no such folder", "フォルダーがありません")
    if (path / "adapter_config.json").exists():
        # transformers would go and fetch the base that the adapter names, and load that instead.
        raise invalid(path, "it holds a LoRA adapter, not a base model", "基盤モデルではなく LoRA アダプターです")
    config = _read_json(path, "config.json")
    _check_no_remote_code(path, config)
    _check_weights(path)
    _check_tokenizer(path)


def _check_no_remote_code(path: Path, config: dict[str, Any]) -> None:
    scripts = sorted(entry.name for entry in path.glob("*.py"))
    if scripts:
        raise invalid(
            path,
            f"it brings program code ({scripts[0]}), which is never run; use a model that transformers supports itself",
            f"プログラムコード（{scripts[0]}）があります。実行しません。transformers 標準対応のモデルをお使いください",
        )
    settings = {"config.json": config}
    if (path / "tokenizer_config.json").exists():
        settings["tokenizer_config.json"] = _read_json(path, "tokenizer_config.json")
    for name, values in settings.items():
        if "auto_map" in values:
            raise invalid(
                path,
                f"{name} asks for code of its own (auto_map), which is never run",
                f"{name} が独自コード（auto_map）を要求しています。コードは実行しません",
            )


def _check_weights(path: Path) -> None:
    weights = sorted(entry.name for entry in path.glob("*.safetensors"))
    if not weights:
        if any(path.glob("*.bin")) or any(path.glob("*.pt")) or any(path.glob("*.pth")):
            # A pickle can run any program while it is loaded.
            raise invalid(
                path,
                "its weights are pickles (.bin); only safetensors are read. Convert them first",
                "重みが pickle（.bin）です。safetensors だけを読み込みます。先に変換してください",
            )
        raise invalid(path, "there are no weights (*.safetensors) in it", "重み（*.safetensors）がありません")
    if (path / _INDEX).exists():
        shards = _read_json(path, _INDEX).get("weight_map", {})
        if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
            raise invalid(path, f"{_INDEX} does not say where weights are", f"{_INDEX} に重みの所在がありません")
        for name in sorted(set(shards.values())):
            if name not in weights:
                raise invalid(path, f"{name} is missing, which {_INDEX} names", f"{_INDEX} にある {name} がありません")
    elif "model.safetensors" not in weights:
        raise invalid(
            path,
            f"there is neither model.safetensors nor {_INDEX} in it",
            f"model.safetensors も {_INDEX} もありません",
        )
    for name in weights:
        _check_safetensors(path, name)


def _check_safetensors(path: Path, name: str) -> None:
    """A safetensors file: 8 bytes little-endian header length, a JSON header, then the tensors."""
    try:
        with (path / name).open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise invalid(path, f"{name} cannot be read ({error.strerror})", f"{name} を読めません") from error
    if start == b"version h":
        raise invalid(
            path,
            f"{name} is a Git LFS pointer, not the weights; run `git lfs pull`",
            f"{name} は Git LFS のポインターで、重みそのものではありません。`git lfs pull` を実行してください",
        )
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:] != b"{" or length + 8 > (path / name).stat().st_size:
        raise invalid(
            path, f"{name} is not a whole safetensors file", f"{name} は完全な safetensors ファイルではありません"
        )


def _check_tokenizer(path: Path) -> None:
    found = [name for name in _VOCABULARIES if (path / name).is_file()]
    if not found:
        raise invalid(
            path,
            "there is no tokenizer in it (tokenizer.json, tokenizer.model…)",
            "トークナイザー（tokenizer.json、tokenizer.model など）がありません",
        )
    if found[0] == "tokenizer.json":
        _read_json(path, "tokenizer.json")


def _read_json(path: Path, name: str) -> dict[str, Any]:
    file = path / name
    if not file.is_file():
        raise invalid(path, f"there is no {name} in it", f"{name} がありません")
    try:
        values = json.loads(file.read_bytes())
    except (ValueError, RecursionError, OSError) as error:  # ValueError: bad JSON and bad UTF-8 alike
        raise invalid(path, f"{name} is not readable JSON ({error})", f"{name} が JSON として読めません") from error
    if not isinstance(values, dict):
        raise invalid(path, f"{name} is not a JSON object", f"{name} が JSON オブジェクトではありません")
    return values


def _sha256(file: Path) -> str:
    state = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()


def invalid(path: Path, detail: str, detail_ja: str) -> ModelFolderInvalid:
    """The error about the model folder `path`, for the caller to raise."""
    return ModelFolderInvalid(path=path, detail=detail, detail_ja=detail_ja)
