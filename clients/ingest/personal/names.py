"""Names of persons: after labels, under headings, with a title behind, in full, and again where a text repeats them.

No statistical recogniser: those need hundreds of megabytes, differ from version to version, and were not made for
factories' documents. What is missed is in docs/ingest.md.
"""

import re
from collections.abc import Iterator
from itertools import chain

from clients.ingest.personal.addresses import MAIL
from clients.ingest.personal.context import Context
from clients.ingest.personal.kinds import Find
from clients.ingest.personal.persons import HONORIFICS, KANJI, ROLES, is_given, is_surname, person_at, surname_at

# Whatever stands after one of these is a name; after the others only what looks like one.
_NAME_WORDS = r"氏名|姓名|社員名|従業員名|担当者名|作業者名|受講者名|フリガナ|ふりがな|お名前|カナ氏名|氏名カナ"
_ROLE_WORDS = (
    r"担当者?|作成者?|作製者|承認者?|確認者?|点検者|点検員|作業者?|作業員|実施者|責任者|管理者|監督者|記入者?|記録者?|報告者?|発行者"
    r"|起案者?|審査者?|検査者|検査員|検査担当|測定者|立会者?|立会い?|講師|受講者|指導者|指導員|教育者|申請者|依頼者?|受付者?|操作者|運転者?"
    r"|更新者|登録者|変更者|受領者|検印|連絡先|問い?合わ?せ先|差出人|宛先|送信者|受信者|出席者|欠席者?|名前|参加者|参加|氏名|当番|責任者・|書記|主任"
    r"|承認欄|確認欄|点検欄|検認|照査|班長|職長|組長|課長|係長|上長|From|To|Cc|Bcc|CC|窓口|発見者|修理者|オペレーター?|段取り?|提案者?|共同提案|委員長|議長|産業医|総括"
    r"|対応者|使用者|処置者|交換者|起票者?|検収者?|文責|設計者?|製図者?|検図者?|工場長|部長|次長|署名|サイン|押印者?"
)
_NAME_LABEL, _ROLE_LABEL = f"(?:{_NAME_WORDS})", f"(?:{_ROLE_WORDS})"
# Without groups within, so that a place is left at its first letter: ten times as fast.
_ANY_LABEL = rf"(?:{_NAME_WORDS}|{_ROLE_WORDS}|\([正副主]\))"
_LABEL = re.compile(
    rf"{_ANY_LABEL}(?:印|名)?(?:\([^()\n]{{1,6}}\))?"
    rf"(?:[ :|=/→]{{1,3}}|-(?=[{KANJI}])|は|[(](?!主|副)|・|(?<=[者員名欄印当])\n(?=[{KANJI}]))[ ]?"
)
_BRACKETED = re.compile(rf"(?:^|[\n|、 ])[【(\[<](?:{_NAME_WORDS}|{_ROLE_WORDS})[】)\]>] ?")
_IN_COLUMN = r"(?:[^\s|:()]{0,6}\()?%s\)? ?: ?([^\n|:]{1,12}?)"
_FAMILY_AND_GIVEN = re.compile(rf"(?<![^\s|]){_IN_COLUMN % '姓'} ?\| ?{_IN_COLUMN % '名'}(?= ?(?:\||\n|$))")
_NAMES_HEADING = re.compile(rf"(?:{_NAME_LABEL}|^姓|^名|{_ROLE_LABEL}(?:名|氏名)?)$")
_LONGEST_HEADING = 12
_NAME_HEADING = re.compile(_NAME_LABEL)
_STRICT = re.compile(
    rf"{_NAME_LABEL}(?:\([^()\n]{{1,6}}\))?[ ]?[:|][ ]?([^\n|:、。;()]{{1,24}}?)"
    rf"(?= {{2,}}|[\n|:、。;(]|$| [^\s:|]{{1,12}}:)"
)
_DATE = r"(?:(?:20|'|令和|R)?\d{1,2}[-./年]\d{1,2}[-./月]\d{1,2}日?)"
_STAMPED = re.compile(rf"{_ROLE_LABEL}\n{_DATE}\n(?=[{KANJI}])")
_BEFORE_NAME = re.compile(rf"{_DATE}[ \n]{{1,2}}|\(")
_KANA = re.compile(
    rf"{_NAME_LABEL}[ :|]{{0,3}}([ァ-ヴー]{{2,6}}[ ・][ァ-ヴー]{{2,6}}|[ぁ-ん]{{2,6}} [ぁ-ん]{{2,6}})(?![ぁ-んァ-ヴー])"
)
_INITIAL = re.compile(r"[A-Z]\. ?[A-Z][a-z]{2,12}(?![A-Za-z0-9])")
_BETWEEN = re.compile(rf"(?: ?(?:{HONORIFICS}|{ROLES}))?(?: \d{{1,7}} 回)?[ ]?(?:[、,・/;と&]|→|、\n)[ ]?")
_ANY_NAME = re.compile(r"[^\W\d_]+(?:[ ・.=-]{1,2}[^\W\d_]+){0,4}")
_NO_NAME = re.compile(
    r"なし|無し|未定|同上|空欄|全員|各自|不明|該当|[部課係班室者員社場]$|グループ$|チーム$|会社$|センター$|ライン$|名$|番号$|印$|日$"
    r"|^(?:所属|役職|部署|職種|職位|資格|電話|携帯|自宅|住所|備考|年齢|性別|内線|メール|連絡先|結果|判定|点数|日付|会社|署名|権限|有効期限|区分)"
)
_FOREIGN = re.compile("[ァ-ヴー]{2,8}(?:[ ・=][ァ-ヴー]{2,8}){0,3}")
_READING = re.compile(r" ?\(([ぁ-ん]{2,6}[ ・]?[ぁ-ん]{0,6}|[ァ-ヴー]{2,7}[ ・]?[ァ-ヴー]{0,7})\)")

_RUN = re.compile(f"[{KANJI}]{{1,12}}")
_AFTER = re.compile(rf" ?(?:{HONORIFICS}|㊞|まで(?=連絡|ご|お|[ \n。]|$)|(?:ほか|他) ?\d{{1,2}} ?名|\([{KANJI}]\))")
_SPREAD = re.compile(f"(?<![{KANJI}ぁ-んァ-ヴー])([{KANJI}](?: [{KANJI}]){{2,5}}) {{0,2}}(?:様|殿|氏|さん)")
_SPEAKING = re.compile(r"(?:^|[\n\]>])[ ]?(?:\d{1,2}:\d\d(?::\d\d)? )?$")
_NO_RARE = re.compile(
    r"[仕同多異模一各有文紋今別両諸某部課係者先主客員方社店元家屋人皆娘母父兄姉弟妹嫁孫神王位長師士会団校院所局省庁署]$|関係|会社|得意|苦労|馳走|世話|旦那|愁傷"
)
"""What stands before 様, 氏 and さん and is nobody's name."""
_AFTER_RARE = re.compile(r" ?(?:さん|様|氏)")
_AFTER_ROLE = re.compile(rf" ?(?:{ROLES})(?![{KANJI}さ])")
_INTRODUCED = re.compile(r"(?:です|と申します)(?=[。\n]|$)")
_TITLE_AT_END = re.compile(rf"(?:{ROLES}|様|氏|殿|君|印)$")
_UNIT = re.compile(r"[^\s|:、。;]{1,15}[部課係室班組] (?=[^\s|])")
_IN_UNIT = re.compile(r"[部課係室班組] $")
_UNIT_BEFORE = re.compile(r"[部課係班室組社店番士師任当]")
_DIRECTIONS = frozenset("東西南北中今前奥所見新金長高向平角関境星泉浜沖畑")
"""Surnames of one character that with a role name a place or a thing, as in 東工場長 and 関係長."""


def names(context: Context) -> Iterator[Find]:
    """Names of persons; may overlap."""
    text = context.text
    spans = {*_labelled(text), *_under_headings(context), *_titled(text), *_before_mail(text)}
    spans |= {match.span(1) for _, end in spans if (match := _READING.match(text, end))}
    known: dict[str, set[str]] = {}
    for start, end in spans:
        if len(surname := surname_at(text[start:end])) > 1:
            known.setdefault(surname, set()).add(text[start + len(surname) : end].strip())
    if spans:
        spans |= set(_repeated(text, known))
        spans |= set(_listed(text, spans))
    yield from (Find("name", start, end) for start, end in sorted(spans))


def _labelled(text: str) -> Iterator[tuple[int, int]]:
    for label in chain(*(label.finditer(text) for label in (_LABEL, _BRACKETED, _STAMPED))):
        place = label.end()
        if person_at(text, place, labelled=True) is None and (unit := _UNIT.match(text, place)):
            place = unit.end()
        for _ in range(40):  # 出席者: one after the other
            if not (end := person_at(text, place, labelled=True)):
                break
            yield place, end
            if not (between := _BETWEEN.match(text, end)):
                break
            place = between.end()
        if initial := _INITIAL.match(text, label.end()):
            yield initial.span()
    yield from (kana.span(1) for kana in _KANA.finditer(text))
    yield from (both.span(part) for both in _FAMILY_AND_GIVEN.finditer(text) for part in (1, 2))
    for value in _STRICT.finditer(text):
        start = value.start(1) + len(value[1]) - len(value[1].lstrip())
        stripped = value[1].strip()
        if _is_any_name(stripped):
            yield start, start + len(stripped)


def _under_headings(context: Context) -> Iterator[tuple[int, int]]:
    for start, cells, headings in context.rows():
        place = start
        for cell, over in zip(cells, headings, strict=False):
            at, value = place + len(cell) - len(cell.lstrip()), cell.strip()
            place += len(cell) + 1
            of_names = [heading for heading in map(_without_blanks, over) if _is_of_names(heading)]
            if not value or not of_names:
                continue
            family = any(heading in ("姓", "名") for heading in of_names) and ("姓",) in headings
            strict = family or any(map(_NAME_HEADING.fullmatch, of_names))
            # Which column a cell is in may be unsure: then a word is no name for standing there.
            if strict and (_is_any_name(value) if len(over) == 1 else _FOREIGN.fullmatch(value)):
                yield at, at + len(value)
                continue
            if stamped := _BEFORE_NAME.match(context.text, at):
                at = stamped.end()
            if end := person_at(context.text, at, labelled=True):
                yield at, end


def _without_blanks(heading: str) -> str:
    return heading.replace(" ", "")


def _is_of_names(heading: str) -> bool:
    return len(heading) <= _LONGEST_HEADING and bool(_NAMES_HEADING.search(heading))


def _titled(text: str) -> Iterator[tuple[int, int]]:
    """In running text: in full, or before さん, 様, 課長 and the like."""
    yield from (spread.span(1) for spread in _SPREAD.finditer(text) if surname_at(spread[1].replace(" ", "")))
    for match in _RUN.finditer(text):
        run, start = match[0], match.start()
        starts = {0} | {unit.end() for unit in _UNIT_BEFORE.finditer(run)}
        for offset in sorted(starts):
            tail = run[offset:]
            if offset and not surname_at(tail):
                continue
            if end := _with_title(text, start + offset, tail, match.end()):
                yield start + offset, end
                break
            if offset == 0 and (end := person_at(text, start, labelled=False)):
                yield start, end
                break


def _with_title(text: str, start: int, tail: str, run_end: int) -> int | None:
    """The end of a name without a label, if `tail`, kanji up to `run_end`, is one with a title."""
    core = _TITLE_AT_END.sub("", tail)
    surname = surname_at(core)
    titled = core != tail
    if not surname and 2 <= len(core) <= 4 and not _NO_RARE.search(core):
        before = titled and tail[-1] in "様氏"
        return start + len(core) if before or (not titled and _AFTER_RARE.match(text, run_end)) else None
    by_role = titled and tail[len(core) :] not in ("様", "氏", "殿", "君")
    if not titled:
        honorific, role = _AFTER.match(text, run_end), _AFTER_ROLE.match(text, run_end)
        introduced = _INTRODUCED.match(text, run_end) and text[start - 1 : start] in ("の", "\n", "、", "")
        following, preceding = text[run_end : run_end + 1], text[max(0, start - 12) : start]
        of_unit = _IN_UNIT.search(preceding) and following in ("(", "\n", "")
        speaking = following == ":" and _SPEAKING.search(preceding)
        in_charge = preceding.endswith("担当") and tail == surname  # 担当山田; 保全担当の清水が
        in_charge |= (
            preceding.endswith("担当の") and tail == surname and len(tail) > 1 and following in "がはにをとも、"
        )
        titled = bool(honorific or role or introduced or of_unit or speaking or in_charge)
        by_role = not honorific
    unsure = core in _DIRECTIONS and (by_role or text.startswith("さま", run_end))  # 東工場長, 高さまたは
    unsure |= tail == "奥様"
    if not titled or not surname or unsure:
        return None
    rest = core[len(surname) :]
    # さ: 関係長さ is a length and no 係長.
    if text[run_end : run_end + 1] == "さ" and by_role:
        return None
    if len(surname) == 1 and by_role and rest:
        return None  # 角度です, 高圧係長
    return start + len(core) if not rest or is_given(rest) or (len(rest) == 1 and not by_role) else None


def _before_mail(text: str) -> Iterator[tuple[int, int]]:
    """What a mail program shows before <an address>."""
    for mail in MAIL.finditer(text):
        head = text[max(0, mail.start() - 60) : mail.start()]
        opened = re.search(r"([^<>:;,|\n\"'\[\]]{2,40})[\"']? ?(?:<|\[mailto:|\()$", head)
        if opened and _is_any_name(opened[1].strip()):
            end = mail.start() - len(head) + opened.start(1) + len(opened[1].rstrip())
            yield end - len(opened[1].strip()), end


def _repeated(text: str, known: dict[str, set[str]]) -> Iterator[tuple[int, int]]:
    """Persons who are named elsewhere in the text: their surname where it stands alone, with the given name if that
    follows. `known`: surname -> given names, of which "" may be one."""
    for match in _RUN.finditer(text):
        core = _TITLE_AT_END.sub("", match[0])
        if core in known:
            end = match.start() + len(core)
            yield match.start(), end
            for given in known[core] - {""}:
                if text.startswith(given, end + 1) and text[end : end + 1] == " ":
                    yield match.start(), end + 1 + len(given)


def _listed(text: str, spans: set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Surnames beside a name in a list, as in 山崎部長、矢野."""
    starts = {start for start, _ in spans}
    nexts = {between.end() for _, end in spans if (between := _BETWEEN.match(text, end))}
    for match in _RUN.finditer(text):
        core = _TITLE_AT_END.sub("", match[0])
        end = match.start() + len(core)
        between = _BETWEEN.match(text, end) if len(core) > 1 and is_surname(core) else None
        if between and between.end() in starts:
            yield match.start(), end
        elif len(core) > 1 and match.start() in nexts and is_surname(core):
            yield match.start(), end
            nexts |= {between.end()} if between else set()


def _is_any_name(value: str) -> bool:
    """Whether what stands where a name has to be may be one: also Latin, kana and rare."""
    return (
        (2 <= len(value) <= 30 or bool(_RUN.fullmatch(value)))
        and bool(_ANY_NAME.fullmatch(value))
        and not _NO_NAME.search(value)
    )
