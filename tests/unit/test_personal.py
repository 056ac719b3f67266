"""Personal and secret data: what is found, what is left alone, and what is done with it."""

import dataclasses

import pytest

from clients.ingest import Document
from clients.ingest.changes import Redaction
from clients.ingest.personal import review
from clients.ingest.personal.kinds import KINDS
from clients.ingest.personal.redact import MOST_TOLD, find, redacted
from clients.ingest.personal.settings import DEFAULT_SETTINGS, OFF, Mode, PersonalSettings
from clients.splits import split
from scripts import measure_personal
from tests.growth import LINEAR, growth
from tests.unit.test_splits import HERE, texts


def masked(text: str, **changes: object) -> str:
    """The text as it is trained on under the default settings, but for `changes`."""
    settings = dataclasses.replace(DEFAULT_SETTINGS, **changes)  # type: ignore[arg-type]
    return redacted([Document("a.txt", text)], settings).documents[0].text


def with_mode(kind: str, mode: Mode) -> PersonalSettings:
    """The default settings with one mode changed."""
    return dataclasses.replace(DEFAULT_SETTINGS, modes=dataclasses.replace(DEFAULT_SETTINGS.modes, **{kind: mode}))


class TestFinding:
    def test_the_measured_table_stands_in_the_docs(self) -> None:
        parts = {part: measure_personal.measured(measure_personal.labelled(part)) for part in measure_personal.PARTS}
        docs = (measure_personal.SET.parents[1] / "docs" / "ingest.md").read_text(encoding="utf-8")
        assert measure_personal.table(parts) in docs, "python scripts/measure_personal.py prints it"

    @pytest.mark.parametrize(
        "text",
        [
            "電話 052-000-1234",
            "ＴＥＬ：０５２（０００）１２３４",
            "電話 052－000－1234",
            "携帯 090 0000 1234",
            "電話 052-000-\n1234",
            "連絡は +81-90-0000-1234 へ",
            "担当 | 電話 | 品番\n岡田 実 | 052(000)7777 | x",
            "連絡先 0566-00-1122 9:00-17:00",
            "内線 2345",
            "電話 052-000-\n  1234",
        ],
    )
    def test_a_telephone_number_however_it_is_written(self, text: str) -> None:
        assert "phone" in {each.kind for each in find(text, DEFAULT_SETTINGS)}
        assert "1234" not in masked(text)
        assert "０００" not in masked(text)

    @pytest.mark.parametrize(
        "text",
        [
            "03-1234",
            "部品 03-1234 を交換",
            "図番 052-1234-567",
            "品番: 052-123-4567",
            "品番 | 名称\n052-123-4567 | ワッシャ",
            "型式 090-1234-5678",
            "製造番号 | 0463-218-0021 | 0463-218-0022",
            "ロット 0452-33-1188",
            "A-052-123-4567",
            "052-123-4567-B",
            "2026-11-22 08:15",
            "01-02-2026",
            "令和8年11月22日",
            "010 0250 0500",
            "シリアル 123456789018",
            "検査成績書 202611220830",
            "1200rpm～1500rpm、±0.01、60～80℃",
            "JIS B 0401-1:2016",
            "Ver 2.10.3.1",
            "255.255.255.0",
            "http://127.0.0.1:8080/",
            "愛知県内の工場\n概要 1 章",
            "x @property の値",
            'password: "a new one has to be chosen"',
            "仕様、同様、皆様、お客様、お得意様、奥様、ご苦労様、関係長さ、東工場長、高さまたは幅、氏名欄、担当者不在",
            "オペレータ操作盤、保全担当の作業、記録者: OK、氏名 フリガナ",
            "清水区画、山本製作所、中村工場、高木工用ビット",
            "パスワードは8文字以上とする。パスワードを入力する。password protected の表示",
            "password_min_length = 12",
            "愛知県名古屋市の工場",
            "担当: 製造課 | 確認: 目視 | 承認: 未",
        ],
    )
    def test_what_a_factory_writes_of_things_is_left_alone(self, text: str) -> None:
        assert find(text, DEFAULT_SETTINGS) == []

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("担当: 山田 太郎", "担当: ［氏名］"),
            ("山田様、髙橋さん、渡邉課長", "［氏名］様、［氏名］さん、［氏名］課長"),
            ("承認者欄\n山田\n太郎\n", "承認者欄\n［氏名］\n"),
            ("氏名 | 所属\nグエン・ヴァン・ナム | 製造課", "氏名 | 所属\n［氏名］ | 製造課"),
            ("出席者: 山田、佐藤 花子、鈴木", "出席者: ［氏名］、［氏名］、［氏名］"),
            ("安藤さんが停止した。安藤と話した。", "［氏名］さんが停止した。［氏名］と話した。"),
            ("From: Taro Yamada <taro@example.com>", "From: ［氏名］ <［メールアドレス］>"),
            ("山田太郎が点検した。", "［氏名］が点検した。"),
        ],
    )
    def test_names_by_label_title_heading_list_and_repetition(self, text: str, kept: str) -> None:
        assert masked(text) == kept

    @pytest.mark.parametrize(
        ("text", "hidden"),
        [
            ("氏名 | 山 田　太 郎 | 所属", "太"),
            ("姓 | 名 | 点\n山田 | 太郎 | 5", "太郎"),
            ("氏名（漢字）: 加藤 鷹", "鷹"),
            ("担当者（正）：山田　（副）：鈴木", "鈴木"),
            ("担当山田", "山田"),
            ("保全担当の清水が交換した", "清水"),
            ("オペレーター：田中", "田中"),
            ("株式会社架空精機　営業部　小林　誠　様", "誠"),
            ("記録者: K.Tanaka", "Tanaka"),
            ("フリガナ　サトウ　ケンイチ", "ケンイチ"),
            ("TEL/FAX 052-000-1234/1235", "1235"),
            ("携帯 090.0000.1234", "1234"),
            ("携帯 ０９０・００００・１２３４", "１２３４"),
            ("090‐0000‐1234", "1234"),
            ("名古屋市中区架空一丁目二番三号", "一丁目"),
            ("taro [at] example [dot] com", "taro"),
            ("ユーザー/パスワード：admin/Kojo2026", "Kojo"),
            ("パスワード（初期）: Kojo2026", "Kojo"),
            ("Wi-Fiキー: kojowifi77", "kojo"),
            ("<password>abc12345</password>", "abc1"),
            ("Authorization: Bearer abcdef1234567890", "abcdef"),
            ("携帯 090-0000-\n  1234", "090"),
            ("taro.yamada@\nexample.co.jp", "example"),
            ("taro.yamada @ example.co.jp", "taro"),
            ("マイナンバー 1234-5678-\n9018", "9018"),
            ("社員番号\nA12345", "A12345"),
            ("愛知県名古屋市\n架空区架空1-2-3", "1-2-3"),
            ("愛知県 名古屋市 架空区 架空 1-2-3", "1-2-3"),
            ('password = "P@ss w0rd 789"', "789"),
            ("担当：山 田 太 郎", "太"),
            ("電話：03－0000\n－5678", "5678"),
            ("0565-00\n-2121", "2121"),
            ("TEL 052(000)\n4567", "4567"),
            ("taro.yamada@example.\nco.jp", "co.jp"),
            ("内線 1234", "1234"),
            ("直通（1234）", "1234"),
            ("内線 1234 本社", "1234"),
            ("内線番号: 1234", "1234"),
            ("内線No. 1234", "1234"),
            ("TEL No. 52345678", "52345678"),
            ("Telephone: 52345678", "52345678"),
            ("PHS 70123 日勤", "70123"),
            ("内線 1234 A棟", "1234"),
            ("内線（保全課） 1234", "1234"),
            ("電話: 保全課 52345678", "52345678"),
        ],
    )
    def test_what_tries_to_slip_through(self, text: str, hidden: str) -> None:
        assert hidden not in masked(text)

    @pytest.mark.parametrize(
        "text",
        [
            "代表値 1234",
            "代表寸法 1200 mm",
            "外線 200 V",
            "内線 6600 V",
            "直通弁 1234",
            "直通 100 mm",
            "携帯端末 5000 mAh",
            "内線規程 1234",
            "TELEMETRY 1200",
            "送信先 taro@example.\nNext",
        ],
    )
    def test_a_word_that_may_mean_a_telephone_makes_no_number_one(self, text: str) -> None:
        assert "電話" not in masked(text)
        assert masked("送信先 taro@example.\nNext").endswith("Next")

    def test_my_number_is_told_by_its_check_digit_or_its_label(self) -> None:
        assert masked("1234-5678-9018") == "［個人番号］"
        assert masked("1234-5678-9017") == "1234-5678-9017"
        assert masked("マイナンバー: 1234-5678-9017") == "マイナンバー: ［個人番号］"

    def test_a_private_key_goes_whole_also_without_its_last_line(self) -> None:
        key = "-----BEGIN PRIVATE KEY-----\nMIIBOgIBAAJB\nKUpRKfFLfRYC\n"
        assert masked(key + "-----END PRIVATE KEY-----") == (
            "-----BEGIN PRIVATE KEY-----\n［秘密情報］-----END PRIVATE KEY-----"
        )
        assert "KUpR" not in masked(key)

    @pytest.mark.parametrize("text", ["a\nb", "１２３ＡＢＣ－ー\u3000山田", "ｶﾞ㈱①㎜〜𠮷野"])
    def test_places_are_those_of_the_text_itself(self, text: str) -> None:
        beside = "、担当: 山田 太郎、"
        (name,) = find(text + beside, DEFAULT_SETTINGS)[-1:]
        assert (text + beside)[name.start : name.end] == "山田 太郎"


HOSTILE = (
    *(
        "a",
        "1",
        "0-",
        "a.",
        "a@a.",
        "| ",
        "山田",
        "市",
        "愛知県a",
        "1-",
        "番地の",
        "password=",
        "パスワード は",
        'password = "',
        'password: "a 1 ',
        "山 田 ",
        "愛知県 市\n",
        "1234-\n",
        "://a:",
    ),
    *(
        "担当 \n",
        "氏名:",
        "氏名|山田|\n",
        "担当: 山田、",
        "山田 ",
        "林\n",
        "x@y.z",
        "1.1.",
        "::",
        "新課係",
        "123|" * 900 + "\n",
    ),
    *("-----BEGIN PRIVATE KEY-----", "eyJa.eyJ", "090-0000-1", "岡崎市" + "あ" * 14 + "1", "🏭 ", "\t", "[8:00] "),
)


OWN = dataclasses.replace(DEFAULT_SETTINGS, own=("山田工業", "E-####", "a" * 40), allow=("山", "x@y"))


class TestHostileText:
    @pytest.mark.parametrize("filler", HOSTILE)
    def test_time_is_linear(self, filler: str) -> None:
        assert growth(lambda length: find((filler * length)[:length], OWN), 4_000) < LINEAR

    @pytest.mark.slow
    @pytest.mark.parametrize("filler", HOSTILE)
    def test_time_is_linear_on_one_line_of_a_megabyte(self, filler: str) -> None:
        assert growth(lambda length: find((filler * length)[:length], OWN), 125_000) < LINEAR


class TestModes:
    TEXT = "担当: 山田 太郎、電話 090-0000-1234"

    def test_off_looks_for_nothing(self) -> None:
        assert find(self.TEXT, OFF) == []
        assert [each.kind for each in find(self.TEXT, with_mode("name", "off"))] == ["phone"]

    def test_report_counts_and_changes_nothing(self) -> None:
        result = redacted([Document("a.txt", self.TEXT)], with_mode("phone", "report"))
        assert result.documents[0].text == "担当: ［氏名］、電話 090-0000-1234"
        assert result.redactions == (Redaction("phone", "report", 1, 1), Redaction("name", "mask", 1, 1))

    def test_drop_sets_the_whole_document_aside_and_says_no_more_than_why(self) -> None:
        result = redacted([Document("a.txt", self.TEXT), Document("b.txt", "主軸")], with_mode("phone", "drop"))
        assert [document.name for document in result.documents] == ["b.txt"]
        (aside,) = result.dropped
        assert aside.text("ja") == "電話番号を含みます（personal.toml で除外）"
        assert "1234" not in repr(result.dropped)

    def test_what_is_only_reported_hides_nothing_that_is_masked(self) -> None:
        both = with_mode("mail", "report")
        assert "taro" not in redacted([Document("a", "url: ftp://x:taro@example.com/")], both).documents[0].text

    def test_the_sites_own_words_and_patterns(self) -> None:
        own = ("赤とんぼ精機", "E-###", "Acme")
        text = "赤とんぼ精機のＥ－１２３、e-124、E-1234、ＡＣＭＥ社"
        assert masked(text, own=own) == "［社内指定］の［社内指定］、［社内指定］、E-1234、［社内指定］社"

    def test_what_is_allowed_is_no_find(self) -> None:
        text = "高田様、090-0000-1234、info@example.com"
        allow = ("高田", "090-0000-####", "info@example.com")
        assert masked(text, allow=allow) == text
        assert masked("高田様、info@example.jp", allow=("高田",)) == "高田様、［メールアドレス］"

    def test_every_kind_has_a_mode(self) -> None:
        assert {field.name for field in dataclasses.fields(DEFAULT_SETTINGS.modes)} == set(KINDS)

    def test_the_same_in_whatever_order_the_documents_come(self) -> None:
        documents = [Document(document.name, document.text) for document in measure_personal.labelled("tuned")]
        one, other = (redacted(given, DEFAULT_SETTINGS) for given in (documents, documents[::-1]))
        assert one.redactions == other.redactions
        assert one.documents == other.documents[::-1]

    def test_masking_moves_no_document_from_test_to_training(self) -> None:
        documents = [Document(d.name, f"{d.text}\n担当: 山田 太郎") for d in texts(60)]
        changed = redacted(documents, DEFAULT_SETTINGS).documents
        assert all("［氏名］" in document.text for document in changed)
        before, after = (split(given, (0.2, 0.15), HERE) for given in (documents, changed))
        assert [{d.name for d in part} for part in before] == [{d.name for d in part} for part in after]


class TestReview:
    def test_tells_what_where_and_in_which_context(self) -> None:
        text = "一行目\n担当は山田 太郎です。\n再び山田 太郎さん。"
        result = redacted([Document("日報/1.txt", text)], DEFAULT_SETTINGS)
        told = review.text(result.redactions, result.sightings, "ja")
        assert "■ name - 氏名: 2 か所、1 文書、処置 mask" in told
        assert "山田 太郎 | 2 | 日報/1.txt:2, 日報/1.txt:3 | 担当は⟦山田 太郎⟧です。" in told

    def test_a_hostile_text_moves_no_cursor_in_it(self) -> None:
        result = redacted([Document("a\x1b[2J", "\x1b[2J担当: 山田 太郎\u202e")], DEFAULT_SETTINGS)
        told = review.text(result.redactions, result.sightings, "en")
        assert "\x1b" not in told
        assert "\u202e" not in told

    def test_more_texts_than_are_told_are_counted_all_the_same(self) -> None:
        text = "\n".join(f"u{number}@example.jp" for number in range(MOST_TOLD + 9))
        result = redacted([Document("1.txt", text), Document("2.txt", f"u1@example.jp\n{text}")], DEFAULT_SETTINGS)
        assert len(result.sightings) == MOST_TOLD
        assert result.redactions[0].finds == 2 * (MOST_TOLD + 9) + 1
        told = review.text(result.redactions, result.sightings, "en")
        assert "u1@example.jp | 3 | 1.txt:2, 2.txt:1, 2.txt:3" in told
        assert "and 3000+ more texts" in told

    def test_nothing_that_is_found_is_in_a_repr(self) -> None:
        result = redacted([Document("a.txt", "担当: 山田 太郎")], DEFAULT_SETTINGS)
        assert "山田" not in repr(result.sightings) + repr(result.redactions) + repr(
            find("担当: 山田", DEFAULT_SETTINGS)
        )
