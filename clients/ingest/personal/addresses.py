"""Mail addresses, and postal addresses down to the house: a place without a house's number is no address of anybody."""

import re
from collections.abc import Iterator

from clients.ingest.personal.context import Context
from clients.ingest.personal.kinds import Find

# Over a line end only before what ends an address: the next line may begin with any word.
_DOMAIN_ENDS_BELOW = r"\.\n {0,4}(?=(?:(?:co|ne|or|ac|go|ad|gr|ed|lg)\.)?jp\b|com\b|net\b|org\b)"
MAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}(?:@(?:\n {0,4})?| @ | ?[(\[] ?at ?[)\]] ?)"
    rf"(?:[A-Za-z0-9-]{{1,63}}(?:\.|{_DOMAIN_ENDS_BELOW}| ?[(\[] ?dot ?[)\]] ?)){{1,8}}[A-Za-z]{{2,24}}(?![A-Za-z0-9])"
)
_PREFECTURE = (
    r"(?:北海道|東京都|(?:大阪|京都)府|(?:青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉|神奈川|新潟|富山|石川|福井|山梨|長野|岐阜"
    r"|静岡|愛知|三重|滋賀|兵庫|奈良|和歌山|鳥取|島根|岡山|広島|山口|徳島|香川|愛媛|高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄)県)"
)
_WARD = (
    r"(?:千代田|中央|港|新宿|文京|台東|墨田|江東|品川|目黒"
    r"|大田|世田谷|渋谷|中野|杉並|豊島|北|荒川|板橋|練馬|足立|葛飾|江戸川)区"
)
_KANJI, _LETTER = "一-龥々ヶ", "一-龥々ヶぁ-んァ-ヴー"
_IN_PIECES = f"(?:[{_LETTER}] ?){{1,25}}"
_CODE = r"(?:〒 ?)?\d{3}-?\d{4}[ \n]{0,2}"
_NUMBER = "(?:[0-9]{1,5}|[一二三四五六七八九十]{1,4}(?=丁目|番|号))"
_HOUSE = rf"{_NUMBER}(?:(?:丁目|番地?|号|の|-)の?(?:{_NUMBER})?){{0,6}}"
_HOUSE_IN_PARTS = rf"{_NUMBER}(?:(?:丁目|番地?|号|の|-)の?(?:{_NUMBER})?){{1,6}}"
_BUILDING = (
    r"(?: ?[^\s、。|()0-9]{1,20}(?:ビル|マンション|荘|寮|棟)\d{0,3}(?:階|F|号室?)?| [^\s、。|()]{2,20}(?:階|号室?))?"
)
_ADDRESS = re.compile(
    rf"(?:{_CODE})?{_PREFECTURE}[{_LETTER}]{{2,25}} ?{_HOUSE}{_BUILDING}"
    rf"|(?:{_CODE})?(?<![{_KANJI}])(?:[{_KANJI}]{{1,5}}[市郡]|つくば市|さいたま市|いわき市|{_WARD})"
    rf"[{_LETTER}]{{1,15}} ?{_HOUSE_IN_PARTS}{_BUILDING}"
    # Over one line end, or in pieces with blanks between them.
    rf"|(?:{_CODE})?{_PREFECTURE} ?{_IN_PIECES}(?:\n ?{_IN_PIECES})?{_HOUSE_IN_PARTS}{_BUILDING}"
    r"|〒 ?\d{3}-?\d{4}(?!\d)"
)
_SIGN = re.compile("[都道府県市郡区〒]")
_SIGN_WITHIN = 18  # characters from an address's first to the first of these: a postal code and a prefecture's name


def mail_addresses(context: Context) -> Iterator[Find]:
    """Each of them, also of a department."""
    return (Find("mail", *match.span()) for match in MAIL.finditer(context.text))


def postal_addresses(context: Context) -> Iterator[Find]:
    """With prefecture or city and a house's number; and 〒 with its seven digits alone."""
    return (Find("address", *span) for span in _addresses(context.text))


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """As `_ADDRESS.finditer`, but tried only where one can begin: trying it everywhere was a quarter of all masking."""
    place = 0
    for sign in _SIGN.finditer(text):
        for start in range(max(place, sign.start() - _SIGN_WITHIN), sign.start() + 1):
            if address := _ADDRESS.match(text, start):
                yield address.span()
                place = address.end()
                break
            place = start + 1
