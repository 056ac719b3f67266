"""Bytes -> text: the encodings that Japanese files come in."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.ingest import markup
from clients.ingest.content import Unusable
from clients.ingest.encoding import decode

WINDOWS = "①号機の㈱髙橋製作所。すきま 0.02㎜、1200～1500rpm、－5℃"
PLAIN = "主軸の回転数を確認し、異常があれば保守担当に連絡する。"


@pytest.mark.parametrize(
    "text", [WINDOWS, PLAIN, "点検する", "ポンプ", "手順書\r\n1. 電源を切る\r\n", "ﾎﾟﾝﾌﾟ 点検", "温度"]
)
def test_cp932(text: str) -> None:
    decoded = decode(text.encode("cp932"))
    assert (decoded.text, decoded.encoding) == (text, "cp932")


@pytest.mark.parametrize("text", [PLAIN, "点検する", "ポンプの点検", "手順書\n1. 電源を切る\n", "温度計です"])
def test_euc_jp(text: str) -> None:
    decoded = decode(text.encode("euc_jp"))
    assert (decoded.text, decoded.encoding) == (text, "euc-jp")


def test_signs_that_windows_writes_into_euc_jp_and_iso_2022_jp() -> None:
    euc = "①号機、すきまは二㎜。".encode("euc_jisx0213")
    assert decode(euc).text == "①号機、すきまは二㎜。"
    assert decode(b"\x1b$B-!9f5!\x1b(B\n").text == "①号機\n"


def test_iso_2022_jp() -> None:
    decoded = decode(PLAIN.encode("iso2022_jp"))
    assert (decoded.text, decoded.encoding, decoded.sure) == (PLAIN, "iso-2022-jp", 1.0)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-8"])
def test_a_byte_order_mark_is_believed_and_removed(encoding: str) -> None:
    decoded = decode("\ufeff".encode(encoding) + WINDOWS.encode(encoding))
    assert (decoded.text, decoded.encoding, decoded.sure) == (WINDOWS, encoding, 1.0)


def test_utf_8_is_certain_however_short() -> None:
    assert decode("検".encode()) == ("検", "utf-8", 1.0)
    assert decode(b"ABC-123") == ("ABC-123", "utf-8", 1.0)


@given(st.text(alphabet=st.characters(min_codepoint=0x3041, max_codepoint=0x3093), min_size=2, max_size=60))
def test_kana_are_never_taken_for_another_encoding(text: str) -> None:
    assert decode(text.encode("cp932")).text == text
    assert decode(text.encode("euc_jp")).text == text


def test_how_sure_it_is_grows_with_the_evidence() -> None:
    clear, hardly = decode(PLAIN.encode("cp932")), decode("ｲｹﾅﾙｷﾗ".encode("cp932"))
    assert clear.sure == 1.0
    assert (hardly.text, hardly.encoding) == ("ｲｹﾅﾙｷﾗ", "cp932")
    assert hardly.sure < 0.5


@pytest.mark.parametrize(
    "data",
    [
        b"caf\xe9 cr\xe8me br\xfbl\xe9e",  # Latin-1
        PLAIN.encode() + PLAIN.encode("cp932"),  # two encodings in one file
        PLAIN.encode()[:-1] + b"\n",  # a character cut, and not at the end
        codecs.BOM_UTF8 + b"\xff",
        codecs.BOM_UTF16_LE + b"\x00\xd8\x00",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    ],
)
def test_what_fits_no_encoding_is_refused_and_never_patched(data: bytes) -> None:
    with pytest.raises(Unusable):
        decode(data)


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "utf-8"])
def test_a_page_that_declares_the_wrong_encoding_is_read_all_the_same(encoding: str) -> None:
    for claim in ("utf-8", "shift_jis", "euc-jp", "no-such-charset"):
        page = f'<html><head><meta charset="{claim}"></head><body><p>{PLAIN}</p></body></html>'
        assert markup.read(page.encode(encoding)).text == PLAIN + "\n"


def test_a_pages_claim_decides_where_nothing_else_does() -> None:
    text = "表図鑑"  # its EUC-JP bytes are plausible CP932 too, if barely
    for claim in ("euc-jp", "EUC-JP"):
        page = f'<meta charset="{claim}"><body>'.encode() + text.encode("euc_jp")
        assert markup.read(page).text == text + "\n"


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp"])
@pytest.mark.parametrize("behind", [b"", b"\0" * 512])
def test_a_log_that_is_being_written_loses_no_more_than_its_last_character(encoding: str, behind: bytes) -> None:
    text = "日時,温度[℃],状態\n2026/11/22 8:40,3,自動\n2026/11/22 8:41,3,自"
    assert decode((text + "動").encode(encoding)[:-1] + behind).text == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_in_either_order(encoding: str) -> None:
    text = "日時\t温度\n2026/11/22 8:00\t1\n" * 10
    assert decode(text.encode(encoding)) == (text, encoding, 0.9)


@pytest.mark.parametrize(
    "data",
    [
        "本说明书适用于所有型号的离心泵。安装前请仔细阅读。检查电源电压是否正确。".encode("gb2312"),
        "水泵检查步骤，请关闭阀门。温度检查。".encode("gb18030"),
    ],
)
def test_chinese_is_not_taken_for_japanese(data: bytes) -> None:
    with pytest.raises(Unusable):
        decode(data)


@pytest.mark.parametrize("encoding", ["cp932", "euc_jp"])
def test_japanese_without_kana_is_read(encoding: str) -> None:
    for text in (
        "機械設備点検記録簿 製造部第一課 承認済 測定値正常 異常無 清掃実施 給油完了",
        "日時,攪拌機回転数,濾過圧力,攪拌槽温度,蒸溜塔圧力\n",
    ):
        assert decode(text.encode(encoding)).text == text


def test_names_and_signs_of_windows_in_euc_jp() -> None:
    # 髙﨑①㈱№ as CP51932 and as eucJP-ms have them
    head = "型番の点検手順を示す。担当：".encode("euc_jp")
    assert decode(head + b"\xfc\xe2\xf9\xf5\xad\xa1\xad\xea\xad\xe2").text.endswith("：髙﨑①㈱№")
    assert decode(head + b"\x8f\xf4\xfb\x8f\xf4\xbd\xad\xa1").text.endswith("：髙﨑①")


def test_half_width_kana_that_are_shifted_out_to_in_iso_2022_jp() -> None:
    assert decode("温度".encode("iso2022_jp") + b"\x0eN_\x0f 5").text == "温度ﾎﾟ 5"
