"""What a name of a person looks like at a given place: a surname from the list, and what may follow it.

The list has the 1,999 commonest surnames, which some four in five people in Japan bear. Given names are too many to
list; they are known by the characters that they begin and end with.
"""

import re
from importlib import resources

KANJI = "々ヶ一-龥﨑\U00020000-\U0003134f"
ROLES = (
    "代表取締役|取締役|工場長|事業部長|副部長|副課長|課長代理|本部長|部長|次長|課長|係長|主任|主査|主事|職長|組長|班長|室長|所長"
    "|店長|社長|会長|専務|常務|工長|作業長|直長|技師|先生|書記|委員長?|リーダー|マネージャー|マネジャー"
)
HONORIFICS = "さん|さま|様|氏|殿|君|くん|ちゃん"
_VARIANTS = dict(zip("髙﨑濵德邉邊齋齊廣澤濱嶋𠮷", "高崎浜徳辺辺斎斉広沢浜島吉", strict=True))

_LISTS = resources.files("clients.ingest.personal") / "lists"
_LISTED = (_LISTS / "surnames.txt").read_text(encoding="utf-8").split()
_SURNAMES = frozenset([*_LISTED, *(name.replace(usual, v) for v, usual in _VARIANTS.items() for name in _LISTED)])
_FIRST, _LAST = map(frozenset, (_LISTS / "given_names.txt").read_text(encoding="utf-8").split())

_RUN = re.compile(f"[{KANJI}]{{1,12}}")
_SPACED_GIVEN = re.compile(f"[ \n]{{1,2}}([{KANJI}]{{1,3}}|[ぁ-ん]{{2,5}}|[ァ-ヴー]{{2,6}})(?![{KANJI}ぁ-んァ-ヴー])")
_SPREAD = re.compile(f"[{KANJI}](?: [{KANJI}]){{2,5}}(?![{KANJI}])")  # 山 田 太 郎
_SPACED_BEFORE_TITLE = re.compile(
    f" ([{KANJI}]{{1,3}}?|[ぁ-ん]{{2,5}}?|[ァ-ヴー]{{2,6}}) ?(?={HONORIFICS}|{ROLES}|印|が|は|と|の|を|に|も|へ|、)"
)
_KANA_GIVEN = re.compile(f"[ぁ-ん]{{2,4}}(?![{KANJI}ぁ-ん])|[ァ-ヴー]{{2,6}}(?![{KANJI}ァ-ヴー])")
_THING = re.compile(f"(?!{ROLES})[ァ-ヴ][ァ-ヴー]")
# A surname and a given name as lines of their own; else the next line begins with anything: 修理, 良好, 一直.
_STACKED = re.compile(f"\n[{KANJI}]{{1,3}}\n[{KANJI}]{{1,3}}\n?$")
_TITLE = re.compile(f"(?:{ROLES}|{HONORIFICS}|印|組)")
_HONOURED = re.compile(f" ?(?:様|氏|さん|殿)(?![{KANJI}ァ-ヴー])")
_UNLISTED = re.compile(f"[{KANJI}]{{1,4}}[ ][{KANJI}]{{1,3}}(?![{KANJI}])")
_MEASURE = re.compile("[長高重深厚強早速硬太細幅広]さ(?![んまく])")
_NO_PERSON = re.compile(
    f"[部課係班室者員長社店組会局科区省庁所場内外上下前後中未済要可否無有同各全毎再仮新旧側用機品線止]$|{ROLES}|担当|会社|工場"
    "|作業|作成|点検|確認|承認|検査|記録|記入|報告|測定|設備|製造|保全|品質|生産|技術|設計|製図|検図|検印|氏名|所属"
)


def is_surname(text: str) -> bool:
    """Whether the list has it, in one of its spellings."""
    return text in _SURNAMES


def is_given(text: str) -> bool:
    """Whether two or three kanji may be a given name."""
    return len(text) in (2, 3) and text[0] in _FIRST and text[-1] in _LAST


def surname_at(run: str) -> str:
    """The longest surname that a run of kanji begins with, or nothing."""
    return next((run[:length] for length in (3, 2, 1) if len(run) >= length and is_surname(run[:length])), "")


def person_at(text: str, place: int, labelled: bool) -> int | None:
    """The end of a person's name that begins at `place`, or None. `labelled`: what is before says that it is one."""
    run = _RUN.match(text, place)
    if run is None or _MEASURE.match(text, place):
        return None
    spread = _SPREAD.match(text, place) if labelled else None
    joined = spread[0].replace(" ", "") if spread else ""
    if spread and surname_at(joined) and not _NO_PERSON.search(joined):
        return spread.end()
    for length in (3, 2, 1):
        surname, rest = run[0][:length], run[0][length:]
        if len(surname) == length and is_surname(surname):
            end = _end(text, place + length, rest, labelled)
            # 新規作成 is nobody of the family 新: unlabelled, a surname of one character has to stand apart.
            if end is not None and (labelled or length > 1 or not rest):
                return end
    if not labelled:
        return None
    unlisted = _UNLISTED.match(text, place)
    if unlisted and not any(map(_NO_PERSON.search, unlisted[0].split())):
        return unlisted.end()
    # A rare surname before a given name, as in 勅使河原萌美.
    return run.end() if 3 <= len(run[0]) <= 5 and is_given(run[0][-2:]) and not _NO_PERSON.search(run[0]) else None


def _end(text: str, place: int, rest: str, labelled: bool) -> int | None:
    """Where the name ends whose surname ends at `place`; `rest`: the kanji right after it."""
    title = _TITLE.match(rest)
    if not rest:
        spaced = _SPACED_BEFORE_TITLE.match(text, place) or _SPACED_GIVEN.match(text, place)
        honoured = spaced and _HONOURED.match(text, spaced.end(1))
        below = spaced and "\n" in spaced[0] and not _STACKED.search(text[max(0, place - 4) : spaced.end(1) + 1])
        if spaced and (honoured or not below) and _may_be_given(spaced[1], bool(honoured) or labelled):
            return spaced.end(1)
        kana = _KANA_GIVEN.match(text, place) if labelled and is_surname(text[place - 2 : place]) else None
        if kana or not labelled:
            return kana.end() if kana else None
        # 清水タンク清掃 is work on a tank.
        return None if _THING.match(text, place) else place
    if title:
        return place if labelled else None
    # 新規 is nobody: with a surname of one character a given name of one stands apart from it.
    alone = len(rest) > 1 or place < 2 or is_surname(text[place - 2 : place])
    core = re.sub(f"(?:{ROLES}|様|氏|殿|君|印)$", "", rest)
    # 原点復帰 and 平均値 are nobody: behind a surname of one character only what may be a given name.
    labelled &= not (len(core) > 1 and is_surname(text[place - 1 : place]) and not is_surname(text[place - 2 : place]))
    if core and (is_given(core) or (labelled and len(core) <= 3 and alone and not _NO_PERSON.search(core))):
        return place + len(core)
    return None


def _may_be_given(text: str, sure: bool) -> bool:
    if re.match(f"(?:{ROLES}|{HONORIFICS})$", text) or _NO_PERSON.search(text):
        return False
    return is_given(text) or sure
