"""Names and numbers as Japanese forms, stamps, rosters and signatures set them; and what looks like them."""

import re

import pytest

from tests.unit.test_personal import masked

PHONE, NAME, EMPLOYEE = "［電話番号］", "［氏名］", "［社員番号］"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Tel.052-123-4567", f"Tel.{PHONE}"),
        ("TEL052-123-4567", f"TEL{PHONE}"),
        ("Mobile.090-1234-5678", f"Mobile.{PHONE}"),
        ("M.090-1234-5678", f"M.{PHONE}"),
        ("電話 23-4567", f"電話 {PHONE}"),
        ("内線5-1234", f"内線{PHONE}"),
        ("電話 03─1234─5678", f"電話 {PHONE}"),
        ("03～1234～5678", PHONE),
        ("内　線　１２３４", f"内　線　{PHONE}"),
        ("電 話：23-4567", f"電 話：{PHONE}"),
        ("社員番号: AB1234C", f"社員番号: {EMPLOYEE}"),
        ("社員番号：12-345", f"社員番号：{EMPLOYEE}"),
        ("社員#12345", f"社員#{EMPLOYEE}"),
        ("オペレータNo.123", f"オペレータNo.{EMPLOYEE}"),
        ("社 員 番 号：12345", f"社 員 番 号：{EMPLOYEE}"),
        ("マ イ ナ ン バ ー：123456789012", "マ イ ナ ン バ ー：［個人番号］"),
        ("部署: 製造 | 姓: 山田 | 名: 太郎 | 棟: 3", f"部署: 製造 | 姓: {NAME} | 名: {NAME} | 棟: 3"),
        ("名前(姓): 坪井 | 名前(名): 花", f"名前(姓): {NAME} | 名前(名): {NAME}"),
        ("氏名: 王", f"氏名: {NAME}"),
        ("対応者: 佐藤 健", f"対応者: {NAME}"),
        ("製図：田中　検図：鈴木", f"製図：{NAME}　検図：{NAME}"),
        ("【担当】山田", f"【担当】{NAME}"),
        ("（担当）山田", f"（担当）{NAME}"),
        ("担当/山田", f"担当/{NAME}"),
        ("担当→山田", f"担当→{NAME}"),
        ("担当－山田", f"担当－{NAME}"),
        ("担　当　者　：　山田", f"担　当　者　：　{NAME}"),
        ("作　業　者　山田", f"作　業　者　{NAME}"),
        ("𠮷田さん", f"{NAME}さん"),
        ("検査員：𠮷田一郎", f"検査員：{NAME}"),
        ("山　田　太　郎　殿", f"{NAME}　殿"),
        ("承認\n26.11.22\n鈴木", f"承認\n26.11.22\n{NAME}"),
        ("作成 | 承認\n2026.11.22 鈴木 | (田中)", f"作成 | 承認\n2026.11.22 {NAME} | ({NAME})"),
        ("氏名\t山田", f"氏名\t{NAME}"),
        ("作業者：佐藤\n修理：軸受交換", f"作業者：{NAME}\n修理：軸受交換"),
        ("検査者 佐藤\n良好", f"検査者 {NAME}\n良好"),
        ("記録: 山田 8 回、佐藤 7 回、鈴木 8 回", f"記録: {NAME} 8 回、{NAME} 7 回、{NAME} 8 回"),
    ],
)
def test_is_masked_whole(text: str, said: str) -> None:
    assert masked(text) == said


@pytest.mark.parametrize(
    "text",  # «…»: what is masked
    [
        "部署 | 氏名 | 内線\n製造 | «山田» | «1234»\n«佐藤» | «1235»\n«グエン» | «1236»",  # merged over three rows
        "棟 | 氏名 | 内線 | 備考\n1 | «山田» | «1234» | 主\n保全: «伊藤»\n3 | «高橋» | «1240»",
        "日時 | 作業 | 作業者\n8:00 | 給油 | «山田»\n午後\n13:00 | 清掃 | «鈴木»",
        "区分 | 担当\n正 | 副\nA | «山田» | «佐藤»",
        "氏名\t所属\t内線\n«佐藤健»\t製造\t«1235»\n«王»\t保全\t«1236»",
    ],
)
def test_in_tables_with_merged_and_empty_cells(text: str) -> None:
    told = re.sub("«.*?»", lambda found: PHONE if found[0][1].isdigit() else NAME, text)
    assert masked(re.sub("[«»]", "", text)) == told


@pytest.mark.parametrize(
    "text",
    [
        "04 1000 2000",
        "温度 045 123 4567",
        "累計 123456789018",
        "カウンタ 123456789018",
        "T052-123-4567",
        "作業：原点復帰",
        "記入：平均値",
        "確認:長さ",
        "確認: 高さを測る",
        "作業 清水タンク清掃",
        "承認/作成/確認",
        "設計-標準",
        "設計 土木工事",
        "担 当 部 署：製造",
        "点 検 項 目 | 結果",
        "各 位 様",
        "氏名 | 職種 | 年\n溶接 | 4",
        "品番 | 数量\nA-1234 | 5\n1235",
        "理解度の基準: 80点以上",
    ],
)
def test_is_left_alone(text: str) -> None:
    assert masked(text) == text
