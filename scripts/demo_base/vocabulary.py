"""A BPE tokenizer with byte fallback that has every character which Japanese manuals are likely to use.

Kanji: JIS X 0208 level 1 (2,965, by Python's codec) and the 34 jōyō kanji beyond it, so that all 2,136 jōyō kanji are
entries of their own. The 34 were found by comparing with the grades in Debian's package kanjidic.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SIZE = 10_240
UNKNOWN, START, END, PADDING = SPECIAL = ("<unk>", "<s>", "</s>", "<pad>")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
JOYO_BEYOND_LEVEL_1 = "丼傲刹哺喩嗅嘲彙恣惧慄憬拉摯曖楷毀璧瘍箋籠緻羞訃諧貪踪辣錮鬱𠮟塡剝頰"
OTHERS_FROM_TEXT = 300  # further characters that the training text has, the most frequent ones

# Beyond the symbols, Greek and NEC's row 13 (①②③ ⅠⅡⅢ ㎜㎏㎡ №㈱∑) of JIS X 0208, as CP932 extends it.
OTHERS = "℃℉°Å℧Ωµ㎖ℓ㎠㎢㎣㎤㎥㎧㎰㎱㎲㎳㎷㎸㎃㎾㎐㎑㎒㎓㎩㎪㎫㏈㏑ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹ±×÷≦≧≤≥·•–∥－～￥￠￡￢✓™©®²³½"

# Words by kind of character, an ending with its punctuation; digits one by one, as part numbers and sizes want it.
SPLIT = r"\n| ?[A-Za-z]+|[0-9]|[\u3041-\u3096]+[、。，．]?|[\u30a1-\u30fcー]+|[\u3400-\u9fff々]+| ?[^\s\w]|."


def alphabet() -> list[str]:
    """Characters that are entries whether or not the training text has them."""
    ascii_and_blanks = [*map(chr, range(0x20, 0x7F)), "\n", "\t", "\u3000", "\u00a0"]
    kana = map(chr, [*range(0x3041, 0x3097), *range(0x309B, 0x309F), *range(0x30A1, 0x30FF)])
    full_and_half = map(chr, [*range(0xFF01, 0xFF5F), *range(0xFF61, 0xFFA0)])
    row_13 = (bytes((0x87, cell)).decode("cp932", "ignore") for cell in range(0x40, 0x9F))
    fixed = [
        *ascii_and_blanks,
        *kana,
        *full_and_half,
        *_rows(1, 2),
        *_rows(6),
        *filter(None, row_13),
        *OTHERS,
        *kanji(),
    ]
    return list(dict.fromkeys(fixed))


def kanji() -> list[str]:
    """JIS X 0208 level 1 (rows 16 to 47) and the jōyō kanji beyond it."""
    return [*_rows(*range(16, 48)), *JOYO_BEYOND_LEVEL_1]


def _rows(*rows: int) -> list[str]:
    """The characters of rows of JIS X 0208."""
    cells = (bytes((0xA0 + row, 0xA0 + cell)) for row in rows for cell in range(1, 95))
    return [*filter(None, (cell.decode("euc_jp", "ignore") for cell in cells))]


def train(texts: Iterable[str], size: int = SIZE) -> Tokenizer:
    """A tokenizer of `size` entries: special tokens, bytes, the alphabet, then what the text merges most often."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    fixed = alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in (*SPECIAL, *BYTES)],
        initial_alphabet=fixed,
        limit_alphabet=len(fixed) + OTHERS_FROM_TEXT,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    return _without_special_bytes(tokenizer)


def _without_special_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Bytes had to be special to get their places in the vocabulary; as such, a text's `<0x41>` would become one."""
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in SPECIAL]
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def byte_fallback(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """The share of the texts' tokens that are single bytes of a character without an entry."""
    ids = [token for encoding in tokenizer.encode_batch(list(texts)) for token in encoding.ids]
    first, last = len(SPECIAL), len(SPECIAL) + len(BYTES)
    return sum(first <= token < last for token in ids) / max(1, len(ids))


class Encoder:
    """The tokenizer as `clients.dataset.Tokenizer` wants it."""

    def __init__(self, file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.encode_special_tokens = True  # `<s>` in a text stays mere characters
        self.bos_id: int | None = SPECIAL.index(START)
        self.eos_id: int = SPECIAL.index(END)
        self.pad_id: int = SPECIAL.index(PADDING)

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)
