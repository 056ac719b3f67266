"""Cleaning: what goes is counted, and what is of value stays."""

import dataclasses

import pytest

from clients.ingest import Document, Reading
from clients.ingest.cleaning import (
    in_usual_forms,
    without_boilerplate,
    without_near_duplicates,
)
from clients.ingest.content import Facts
from clients.ingest.forms import usual_forms
from clients.ingest.personal.settings import OFF
from clients.ingest.preparing import prepared
from clients.ingest.readers import parse
from clients.splits import split
from tests.unit.test_splits import HERE, revised, texts

NOTICE = "本装置の据付、運転、保守および点検は、必ず取扱説明書とその他の付属書類をすべて熟読してから行ってください。"


def documents(*given: str, kind: str = "text") -> tuple[Document, ...]:
    return tuple(Document(f"{number}.txt", text, Facts(kind)) for number, text in enumerate(given))


def with_notice(count: int, notice: str = NOTICE, kind: str = "text") -> tuple[Document, ...]:
    """Documents of their own that all hold one paragraph."""
    return documents(*(f"{each.text}\n\n{notice}\n\n終わり" for each in texts(count)), kind=kind)


class TestUsualForms:
    @pytest.mark.parametrize(
        ("text", "usual"),
        [
            ("か\u3099ス", "ガス".replace("ガ", "が")),
            ("ホ\u309aンフ\u309a", "ポンプ"),
            ("⼯作機械⽤", "工作機械用"),
            ("e\ufb03cient", "efficient"),
            ("主\u200b軸\ufeff", "主軸"),
            ("a\u00a0b", "a b"),
            ("辻\U000e0100さん 山\ufe00田様", "辻さん 山田様"),
        ],
    )
    def test_letters_in_an_unusual_form(self, text: str, usual: str) -> None:
        assert usual_forms(text)[0] == usual

    @pytest.mark.parametrize(
        "text",
        [
            "1200rpm～1500rpm",
            "1200〜1500",
            "①〜③、⑳",
            "㎜ ㎡ ℃ Ω Å μ ㌔ ㊙ №",
            "品番ＡＢ－１２３",
            "½ ¼ m² H₂O 10⁻³",
            "髙橋 﨑 神 𠮷",
            "ﾎﾟﾝﾌﾟ",
            "𝛼 ａ",
            "あ゛",
        ],
    )
    def test_ranges_call_outs_units_part_numbers_and_names_stay(self, text: str) -> None:
        assert usual_forms(text) == (text, 0)

    @pytest.mark.parametrize("mark", ["客先⽀給", "社\u200b外秘"])
    def test_a_mark_of_confidentiality_is_seen_in_them(self, mark: str) -> None:
        assert parse(f"【{mark}】\n本文".encode(), "a.txt").marks

    def test_are_counted(self) -> None:
        assert in_usual_forms(documents("か\u3099か\u3099", "a\u00a0b", "c"))[1] == 3


class TestBoilerplate:
    def test_the_first_three_keep_it_and_the_rest_do_not(self) -> None:
        cleaned, count, characters = without_boilerplate(with_notice(8))
        assert [NOTICE in document.text for document in cleaned] == [True] * 3 + [False] * 5
        assert (count, characters) == (5, 5 * len(NOTICE))
        assert cleaned[4].left_out[0].text("ja") == "繰り返しの定型文（段落） 1"
        assert cleaned[4].text.startswith(with_notice(8)[4].text[:60])
        assert cleaned[4].text.endswith("終わり")

    def test_what_four_documents_share_stays(self) -> None:
        assert without_boilerplate(with_notice(4))[1:] == (0, 0)

    @pytest.mark.parametrize(
        "value",
        [
            "3. " + NOTICE,
            "① " + NOTICE,
            "・" + NOTICE,
            "締付トルクは、" + NOTICE + "12 N·m とする。",
            "項目: 締付 | 基準: 規定の値 | " + NOTICE,
            "電源を切り、施錠して表示札を掛ける。",
        ],
    )
    def test_steps_values_rows_and_short_lines_stay_in_every_document(self, value: str) -> None:
        assert without_boilerplate(with_notice(9, value))[1] == 0

    def test_a_paragraph_beside_a_step_is_part_of_the_instruction(self) -> None:
        assert without_boilerplate(with_notice(9, "1. 電源を切る。\n" + NOTICE))[1] == 0
        assert without_boilerplate(with_notice(9, NOTICE + "\n1) 電源を切る。"))[1] == 0

    @pytest.mark.parametrize("kind", ["sensor log", "table", "xlsx"])
    def test_tables_and_logs_stay_as_they_are(self, kind: str) -> None:
        assert without_boilerplate(with_notice(9, kind=kind))[1] == 0

    def test_no_document_becomes_empty(self) -> None:
        same = documents(*(NOTICE + "\n" * number for number in range(9)))
        assert all(document.text.strip() for document in without_boilerplate(same)[0])


class TestNearDuplicates:
    LONG = "主軸の軸受は、回転中の温度と振動を監視し、異常があれば直ちに停止して原因を調べる。" * 3

    def test_the_longest_is_kept_and_the_others_are_set_aside_by_name(self) -> None:
        given = documents(*(each.text for each in texts(3, shortest=400, longest=401)))
        copy = Document("写し.txt", given[0].text[:-4])
        kept, aside = without_near_duplicates((*given, copy))
        assert kept == given
        assert [(a.name, a.text("ja")) for a in aside] == [("写し.txt", "0.txt とほぼ同じ内容です")]

    def test_a_daily_form_with_other_values_is_no_copy(self) -> None:
        form = "".join(each.text for each in texts(3))
        days = documents(*(f"{form}\n温度 {20 + day}.5 ℃" for day in range(5)))
        assert without_near_duplicates(days) == (days, ())

    def test_a_number_that_stands_twice_is_not_the_same_as_once(self) -> None:
        form = "".join(each.text for each in texts(3))
        both = documents(f"{form} 12 34 長い方", f"{form} 12 12")
        assert without_near_duplicates(both)[1] == ()

    def test_a_revision_is_trained_on_beside_its_original(self) -> None:
        (original,) = texts(1, shortest=900, longest=901)
        both = (original, revised(original, 0.15))
        assert without_near_duplicates(both) == (both, ())

    def test_does_not_depend_on_the_order(self) -> None:
        given = documents(*(each.text for each in texts(4, shortest=400, longest=401)))
        given += tuple(Document(f"c{d.name}", d.text[:-3] + "甲乙丙") for d in given)
        one, other = without_near_duplicates(given), without_near_duplicates(given[::-1])
        assert one[1] == other[1]
        assert set(one[0]) == set(other[0])
        assert len(one[0]) == 4


class TestPrepared:
    def test_each_step_is_counted(self) -> None:
        given = with_notice(8)
        odd = dataclasses.replace(given[0], name="odd.txt", body=given[0].text + "か\u3099")
        cleaning = prepared(Reading((*given, odd), ()), OFF).reading.cleaning
        assert (cleaning.forms, cleaning.paragraphs, cleaning.near_duplicates) == (1, 5, 1)
        assert cleaning.text("ja").startswith("字形を標準化した文字 1、削除した定型文 5 段落")

    def test_nothing_to_clean_changes_nothing(self) -> None:
        given = Reading(tuple(texts(9)), ())
        assert prepared(given, OFF).reading == given

    def test_cleaning_moves_no_document_from_test_to_training(self) -> None:
        given = with_notice(60)
        cleaned = prepared(Reading(given, ()), OFF).reading.documents
        before, after = (split(part, (0.2, 0.15), HERE) for part in (given, cleaned))
        assert [{d.name for d in part} for part in before] == [{d.name for d in part} for part in after]
        assert sum(NOTICE in document.text for document in cleaned) == 3
