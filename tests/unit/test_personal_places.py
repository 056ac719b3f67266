"""Rules that are tried only where something can begin find what they would find if they were tried everywhere."""

import re

from hypothesis import event, given
from hypothesis import strategies as st

from clients.ingest.personal import addresses, credentials
from clients.ingest.personal.context import folded

_OF_ADDRESSES = """123-4567 0600001 和歌山県 北海道 東京都 京都府 さいたま市 世田谷区 名古屋市 郡 市 区 千代田 々 中 ひ
ア 1丁目 2番地 3号 12-3 -4 5 の 一丁目 丸ビル 、"""
_OF_SECRETS = """パスワード パス 暗証番号 APIキー トークン password secret api_key 秘密鍵 無線キー x です
: = は が | " 「 (必須) Ab12# 3kf!x hunter22"""


def _texts(words: str, *others: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*words.split(), " ", "\n", *others]), min_size=4, max_size=24).map("".join)


@given(_texts(_OF_ADDRESSES, "〒 ", " 7階"))
def test_addresses(text: str) -> None:
    everywhere = [match.span() for match in addresses._ADDRESS.finditer(text)]
    event(f"{min(len(everywhere), 2)} addresses or more")
    assert list(addresses._addresses(text)) == everywhere


@given(_texts(_OF_SECRETS, " 9"))
def test_values_of_passwords(text: str) -> None:
    folded_text = folded(text)
    patterns: tuple[re.Pattern[str], ...] = (*credentials._VALUES, *credentials._AFTER_WORD)
    everywhere = [match.span(1) for pattern in patterns for match in pattern.finditer(folded_text)]
    event(f"{min(len(everywhere), 2)} values or more")
    assert [match.span(1) for match in credentials._assigned(folded_text)] == everywhere
