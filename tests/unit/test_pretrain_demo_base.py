"""scripts/pretrain_demo_base.py on tiny inputs: extraction, cleaning, the tokenizer, and a run that is stopped."""

import dataclasses
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from clients.dataset import Blocks, pack

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from demo_base import corpus, pages, training, troff, vocabulary

PAGE = r"""'\" t
.\" これは注釈です
.TH LS 1
.de XX
定義の中身は出ません
..
.ds AK \s-1AWK\s+1
.SH 名前
ls \- \fB一覧\fPを表示
する
.SH オプション
.TP
.BI \-f " file"
プログラムを \*(AK から
読み込む(\(aq\fIx\fR\(aq)。
.nf
int main(void); 表の中の日本語
.fi
.if n \{\
条件の中
.\}
.PP
.BR printf (3)
を参照 \(em 終わり。
"""
MDOC = """.Sh 説明
.Nm biff
は
.Xr comsat 8
を
.Pq Fl a Ar 値 ,
で呼ぶ。
.Bl -tag
.It Cm n
報告しない。
.El
.Pp
.Nm
終わり。
"""


def test_a_man_page_becomes_paragraphs() -> None:
    assert list(troff.paragraphs(PAGE)) == [
        "名前",
        "ls - 一覧を表示する",
        "オプション",
        "-f file プログラムを AWK から読み込む('x')。",
        "printf(3) を参照 — 終わり。",
    ]


def test_an_mdoc_page_calls_macros_within_a_line() -> None:
    lines = list(troff.paragraphs(MDOC))
    assert lines == ["説明", "biff は comsat(8) を (-a 値 ,) で呼ぶ。", "n 報告しない。", "biff 終わり。"]


def test_a_page_that_points_at_another_is_empty() -> None:
    assert list(troff.paragraphs(".so man3/printf.3\n")) == []


def test_html_without_menus_and_listings() -> None:
    page = "<body><div class=toc>目次</div><h1>見出し</h1><p>本文の\n一行目。<pre>code 日本語</pre><tr>"
    page += "<table><tr><td>鍵</td><td>値</td></tr></table></body>"
    assert list(pages.html_paragraphs(page)) == ["見出し", "本文の一行目。", "鍵 | 値"]


def test_xml_without_credits_and_unknown_entities() -> None:
    page = '<page xmlns="urn:x"><info><credit><name>名前</name></credit><desc>説明文。</desc></info><title>題</title>'
    page += "<p>本文は<gui>設定</gui>です&nowhere;。</p><screen>$ 実行</screen></page>"
    assert list(pages.xml_paragraphs(page)) == ["説明文。", "題", "本文は設定です。"]
    assert list(pages.xml_paragraphs("<p>閉じない")) == []


def test_lines_that_are_hardly_japanese_and_repeats_are_dropped() -> None:
    first = [f"これは{i}番目の段落であり、ほかのどれとも同じではありません。" for i in range(8)]
    english = "This line has 一 character only, and thus is not kept at all."
    documents = [[*first[:4], english, "目次"], [first[0], *first[4:], " 目 次 "]]
    part = corpus.build([("a", documents)], [])["a"]
    assert sorted("".join((*part.train, *part.held_out)).splitlines()) == sorted([*first, "目次"])
    assert part.repeated == len(first[0]) + len("目 次")
    assert part.train
    assert part.held_out


def test_paragraphs_that_share_a_span_with_the_members_are_removed() -> None:
    secret = "".join(chr(0x4E00 + i) for i in range(corpus.SPAN + 5))
    forbidden = set(corpus.spans(secret))
    long = f"前置き。{secret[: corpus.SPAN]}後書き。"
    wrapped = [secret[:20] + " ", secret[20:]]  # a span that goes on in the next line
    short = secret[: corpus.SPAN - 1]
    assert corpus.without_spans([long, *wrapped, "残る段落。", short], forbidden) == ["残る段落。", short]
    # What is left may become neighbours, and only then say what a member says.
    assert corpus.without_spans([secret[:20], long, secret[20:]], forbidden) == []


def test_long_documents_are_cut_between_paragraphs() -> None:
    lines = ["あ" * 1_500] * 5
    assert [len(text) for text in corpus.cut(lines)] == [3_002, 3_002, 1_501]


def test_a_corpus_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = {"a": corpus.Part(("あ\n", "い"), ("う",), 10, 1, 2, 1)}
    corpus.save(made, "digest", tmp_path / "corpus.json")
    assert corpus.load(tmp_path / "corpus.json") == (made, "digest")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return vocabulary.train(["設定を変更します。", "設定ファイルを変更する。"] * 20, size=4_200)


def test_every_character_of_manuals_is_an_entry(tokenizer: Tokenizer) -> None:
    needed = "鬱𠮟塡剝頰亜腕ぁんァヶー、。「」【】※→℃㎜㎡ΩΩμµ①⑳Ａｚ０ｱﾝﾞ％Ⅳ×±～〜−－㈱ \n\u3000AZaz09~\\"
    assert vocabulary.byte_fallback(tokenizer, [needed]) == 0
    assert len(set(vocabulary.kanji())) == 2_965 + 34
    assert tokenizer.decode(tokenizer.encode(needed).ids, skip_special_tokens=False) == needed


def test_an_unknown_character_is_spelt_in_bytes(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("한").ids
    assert [tokenizer.id_to_token(i) for i in ids] == ["<0xED>", "<0x95>", "<0x9C>"]
    assert tokenizer.decode(ids) == "한"
    assert vocabulary.byte_fallback(tokenizer, ["한"]) == 1
    assert tokenizer.encode("設定").tokens == ["設定"]


def test_no_text_is_read_as_a_special_token(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder = vocabulary.Encoder(tmp_path / "tokenizer.json")
    assert (encoder.bos_id, encoder.eos_id, encoder.pad_id) == (1, 2, 3)
    assert min(encoder.encode("<s></s><0x41>")) >= len(vocabulary.SPECIAL) + len(vocabulary.BYTES)


SHAPE = training.Shape(vocabulary=64, hidden=32, inner=48, layers=2, heads=2, positions=16)
RECIPE = training.Recipe(tokens=12 * 2 * 16, blocks_per_step=2)


@pytest.fixture
def blocks() -> Blocks:
    random = np.random.default_rng(0)
    return pack([random.integers(4, 64, 50).astype(np.int32) for _ in range(5)], 16, 3)


def quietly(run: training.Run, **changed: Any) -> bool:
    how: dict[str, Any] = {"evaluate": lambda: None, "every": 1_000, "minutes": 99.0, "say": lambda _: None}
    return training.train(run, **how | changed)


def test_a_killed_run_ends_in_the_same_weights(blocks: Blocks, tmp_path: Path) -> None:
    whole = training.Run(SHAPE, RECIPE, blocks, tmp_path / "whole", "key")
    assert quietly(whole)
    assert whole.progress.step == whole.steps == 12

    killed = training.Run(SHAPE, RECIPE, blocks, tmp_path / "killed", "key")
    for _ in range(5):
        killed.step()
    killed.save()
    killed.step()  # lost: the checkpoint does not have it

    again = training.Run(SHAPE, RECIPE, blocks, tmp_path / "killed", "key")
    assert again.progress.step == 5
    assert quietly(again)
    assert all(torch.equal(again.masters[name], master) for name, master in whole.masters.items())


def test_sigint_saves_and_stops(blocks: Blocks, tmp_path: Path) -> None:
    run = training.Run(SHAPE, RECIPE, blocks, tmp_path / "run", "key")
    before = signal.getsignal(signal.SIGINT)
    assert not quietly(run, every=3, evaluate=lambda: signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before
    assert training.Run(SHAPE, RECIPE, blocks, tmp_path / "run", "key").progress.step == 3


def test_a_checkpoint_of_another_run_is_refused(blocks: Blocks, tmp_path: Path) -> None:
    training.Run(SHAPE, RECIPE, blocks, tmp_path / "run", "key").save()
    with pytest.raises(ValueError, match="of another run"):
        training.Run(SHAPE, RECIPE, blocks, tmp_path / "run", "another corpus")
    with pytest.raises(ValueError, match="of another run"):
        training.Run(SHAPE, dataclasses.replace(RECIPE, clip=2.0), blocks, tmp_path / "run", "key")


def test_a_crash_while_saving_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.replaced(tmp_path / "file", b"whole")

    def crash(_: int) -> None:
        raise OSError

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError):  # noqa: PT011 - ours, from above
        corpus.replaced(tmp_path / "file", b"half")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_training_learns(blocks: Blocks, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, tokens=60 * 2 * 16, learning_rate=1e-2)
    run = training.Run(SHAPE, recipe, blocks, tmp_path / "run", "key")
    before = run.evaluate({"all": blocks})["all"]
    assert quietly(run)
    assert run.evaluate({"all": blocks})["all"] < 0.8 * before


def test_the_rate_warms_up_and_falls() -> None:
    rates = [training.learning_rate(RECIPE, share) for share in (0, 0.01, 0.02, 0.5, 1)]
    assert 0 < rates[0] < rates[1] < rates[2] == pytest.approx(RECIPE.learning_rate)
    assert rates[2] > rates[3] > rates[4] == pytest.approx(RECIPE.final * RECIPE.learning_rate)
