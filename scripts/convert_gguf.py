"""Turn a GGUF file into the folder that `model=PATH` takes: safetensors weights, config.json and the tokenizer.

    pip install 'gguf>=0.19,<1'
    python scripts/convert_gguf.py SmolLM2-135M-Instruct.Q4_1.gguf ~/models/smollm2-135m

GGUF packs weights in a few bits; here they are unpacked, by transformers, and nothing comes back that packing has lost.
A model's own safetensors folder is always better when there is one. What transformers cannot read of GGUF, this cannot.
"""

import argparse
import sys
from pathlib import Path
from typing import Any


def convert(source: Path, target: Path, dtype: str = "bfloat16") -> None:
    """Write the model in `source` to the folder `target`, which must not exist yet. Fetches nothing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    how: Any = {"gguf_file": source.name, "local_files_only": True}
    tokenizer: Any = AutoTokenizer.from_pretrained(source.parent, **how)
    # Without dequantize, transformers keeps the packed blocks, and such a model cannot be saved.
    how |= {"dtype": getattr(torch, dtype), "quantization_config": GgufConfig(dequantize=True)}
    model: Any = AutoModelForCausalLM.from_pretrained(source.parent, **how)
    target.mkdir(parents=True)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def main() -> int:
    """0 when the folder is written; 1 with the reason when that cannot be."""
    parser = argparse.ArgumentParser(description="A GGUF file as a folder for `rengo simulate model=PATH`.")
    parser.add_argument("source", type=Path, help="the .gguf file")
    parser.add_argument("target", type=Path, help="the folder to make")
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    given = parser.parse_args()
    if not given.source.is_file() or given.target.exists():
        print(f"convert_gguf: {given.source} has to be a file, and {given.target} must not exist yet", file=sys.stderr)
        return 1
    try:
        convert(given.source.absolute(), given.target, given.dtype)
    except ImportError as error:
        print(f"convert_gguf: {error}. Install it with: pip install 'gguf>=0.19,<1'", file=sys.stderr)
        return 1
    print(f"Written. Try: rengo simulate model={given.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
