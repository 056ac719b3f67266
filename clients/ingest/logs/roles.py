"""What the columns of a table are, and with that what the table is: readings, events, or neither."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from clients.ingest.logs import times
from clients.ingest.logs.table import Column

Kind = Literal["sensor log", "event log", "table"]

_LEAST_NUMBERS = 0.6  # of the filled cells of a log of readings, words that come again and again aside
_MOST_NUMBERS_BESIDE_MESSAGES, _MOST_NUMBERS_OF_EVENTS = 0.75, 0.4
_FEW = 12  # different words of a column that tells a state
_LEAST_MESSAGE = 4  # characters, on the mean

MACHINE = re.compile(
    r"(?:設備|装置|機械|機器|マシン|ライン)(?:番号|名称?|ID|No\.?|コード)?|機番|号機|"
    r"(?:machine|equipment|asset)[ _]?(?:id|no\.?|name)?",
    re.IGNORECASE,
)
INDEX = re.compile(r"index|interval|no\.?|番号|通番|連番|行番号|seq\.?|#|レコード番号", re.IGNORECASE)
_PERSON = re.compile(
    r"(?:(?:作業|担当|操作|運転|検査|点検|測定|記録|記入|確認|承認|報告|作成|対応|使用|処置|交換|修理|責任|管理|監督|発見|登録|実施|受付|当番)(?:者|員)"
    r"|オペレーター?|ユーザー?|担当|社員|従業員|職員|個人|氏名|姓名|名前|姓|名|operator|user|worker|employee|inspector|staff)"
    r"_?(?:名|氏名|コード|番号|id|no\.?|name|code|#)?|社番|職番|マイナンバー|.{0,6}(?:電話|携帯|内線|tel|phone|fax|mobile)(?:番号|no\.?|電話)?",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"(?:タグ|項目|測定項目|計測項目|信号|ポイント|変数|チャンネル|センサー?|パラメータ|tag|item|signal|point|variable|channel|ch|sensor|"
    r"parameter)[ _]?(?:名称?|番号|ID|name|no\.?)?|点名",
    re.IGNORECASE,
)
_VALUE = re.compile(r"(?:測定|計測|実測|現在|データ)?値|データ|value|val|reading|data|pv", re.IGNORECASE)
_QUALITY = re.compile(
    r"(?P<of>.*?)[ _.:（(]*(?:品質|品位|クオリティ|quality|ステータス|status|qual)(?:コード| ?code)?[)）]?",
    re.IGNORECASE,
)
_UNIT = re.compile(r"単位|units?", re.IGNORECASE)
_MESSAGE = re.compile(
    r"メッセージ|アラーム|警報|異常|故障|エラー|イベント|内容|コメント|処置|対応|作業|記事|備考|現象|原因|message|alarm|event|description|"
    r"comment|error|remark|text",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Roles:
    """Which columns are something else than a tag's readings; by their place in the file, None where there is none.

    `tag`, `value` and `unit`: of a long table, in which a row is one reading. `qualities`: by column of readings, the
    one that says how good they are. `machine`: which one a row is about. `ignored`: running numbers and other times.
    """

    kind: Kind
    machine: int | None = None
    tag: int | None = None
    value: int | None = None
    unit: int | None = None
    qualities: tuple[tuple[int, int], ...] = ()
    ignored: frozenset[int] = frozenset()

    @property
    def as_text(self) -> frozenset[int]:
        """Columns whose numbers are names: machine 003 is not machine 3."""
        named = (self.machine, self.tag, self.unit, *(quality for _, quality in self.qualities))
        return frozenset(column for column in named if column is not None)


def roles(columns: dict[int, Column], wanted: Kind | None = None) -> Roles:
    """Of the columns that are not the time, by their place in the file; from their first rows. `wanted`: what the site
    says that it is."""
    ignored = frozenset(at for at, column in columns.items() if INDEX.fullmatch(column.name) or _is_times(column))
    left = {at: column for at, column in columns.items() if at not in ignored}
    machine = next((at for at, column in left.items() if MACHINE.fullmatch(column.name)), None)
    tag = next((at for at, column in left.items() if _TAG.fullmatch(column.name) and at != machine), None)
    value = next((at for at, column in left.items() if _VALUE.fullmatch(column.name)), None)
    if wanted != "event log" and tag is not None and value is not None and left[value].numbers:
        unit = next((at for at, column in left.items() if _UNIT.fullmatch(column.name)), None)
        quality = next((at for at, column in left.items() if _QUALITY.fullmatch(column.name)), None)
        judged = () if quality is None else ((value, quality),)
        return Roles("sensor log", machine, tag, value, unit, judged, ignored)
    qualities = tuple(_qualities(left))
    aside = {machine, *(quality for _, quality in qualities)}
    kind = wanted or _kind([column for at, column in left.items() if at not in aside])
    return Roles(kind, machine, qualities=qualities if kind == "sensor log" else (), ignored=ignored)


def _kind(columns: Sequence[Column]) -> Kind:
    filled = [column for column in columns if column.filled]
    texts = [column for column in filled if not column.numbers]
    messages = [column for column in texts if _MESSAGE.search(column.name) and _is_message(column)]
    numbers, cells = sum(column.numbers for column in filled), sum(column.filled for column in filled)
    states = sum(column.filled for column in texts if len(column.words) - 1 <= min(_FEW, column.filled // 3))
    if messages and numbers < _MOST_NUMBERS_BESIDE_MESSAGES * cells:
        return "event log"
    if numbers and numbers >= _LEAST_NUMBERS * (cells - states):
        return "sensor log"
    if any(map(_is_message, texts)) and numbers < _MOST_NUMBERS_OF_EVENTS * cells:
        return "event log"
    return "table"


def _is_message(column: Column) -> bool:
    """Whether what stands in most of its rows is longer than a state's name."""
    words = [word for word in column.words if word]
    return 2 * column.filled >= len(column.states) and sum(map(len, words)) >= _LEAST_MESSAGE * len(words)


def _is_times(column: Column) -> bool:
    words = [word for word in column.words if word]
    read = (times.moment, times.date, times.clock)
    return bool(words) and not column.numbers and all(any(f(word) is not None for f in read) for word in words[:100])


def _qualities(columns: dict[int, Column]) -> list[tuple[int, int]]:
    """(readings, quality) where a quality follows its readings: `T1, T1_Quality`, or `T1, Quality, T2, Quality`."""
    found = []
    places = sorted(columns)
    for before, at in pairwise(places):
        match = _QUALITY.fullmatch(columns[at].name)
        of = match["of"] if match else None
        if match and columns[before].numbers and (not of or columns[before].name.startswith(of)):
            found.append((before, at))
    alone = (
        len(found) == 1 and not _named_after(columns, *found[0]) and sum(c.numbers > 0 for c in columns.values()) > 2
    )
    return [] if alone else found  # one for a whole row says of no tag which it is: it is told as a state


def _named_after(columns: dict[int, Column], readings: int, quality: int) -> bool:
    return columns[quality].name.startswith(columns[readings].name)


def is_good(quality: str) -> bool:
    """Good, 良, 正常, OK, or what OPC counts as good (192 and more of 255); nothing at all is no complaint."""
    if quality.isdecimal():
        return int(quality) >= _OPC_GOOD
    return quality.casefold() in _GOOD or quality.casefold().startswith("good")


_OPC_GOOD = 192
_GOOD = {"", "g", "ok", "良", "良好", "正常", "有効", "○", "valid", "normal"}


def is_of_persons(name: str) -> bool:
    """Whether a column or tag says who it was, and nothing of the machine: 作業者, 社員番号, 携帯."""
    return bool(_PERSON.fullmatch(unicodedata.normalize("NFKC", name).replace(" ", "")))


def good_words(words: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each word of a column of qualities, whether it is no complaint."""
    return np.array([is_good(word) for word in words], dtype=np.bool_)
