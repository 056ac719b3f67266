"""Passwords, keys and tokens in 設定書 and configuration dumps.

The forms of tokens are those that their issuers document; most are in detect-secrets (Yelp, Apache-2.0) too. That
library itself takes entropy for a sign, which part numbers and hashes have as well, and knows no Japanese label.
"""

import re
from collections.abc import Iterator

from clients.ingest.personal.context import Context
from clients.ingest.personal.kinds import Find

_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----\s?")
_LARGEST_KEY = 16_384  # characters
_KEY_LINES = re.compile(r"[A-Za-z0-9+/=\s]{0,16384}")
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,64}"
    r"|xox[abposr]-[A-Za-z0-9-]{10,250}"  # Slack
    r"|AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20,250}"  # Google
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}|sk-[A-Za-z0-9_-]{20,200}"  # Stripe, OpenAI
    r"|npm_[A-Za-z0-9]{36}|pypi-AgE[A-Za-z0-9_-]{50,250}|hf_[A-Za-z0-9]{30,64}|SG\.[\w-]{16,32}\.[\w-]{16,64}"
    r"|eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,1000}"  # JSON web tokens
    r")(?![A-Za-z0-9_-])"
)
_IN_ADDRESS = re.compile(r"://[^\s/:@]{1,64}:([^\s/@]{1,128})@")
_WORD = (
    r"(?:パスワード|パスコード|パスフレーズ|パス(?=\s?[はが:=])|暗証番号|共有鍵|共有キー|(?:Wi-?Fi|無線|暗号化|認証|セキュリティ)キー|秘密鍵|アクセスキー|APIキー|トークン"
    r"|(?<![A-Za-z])(?i:password|passwd|passphrase|passcode|pwd|pw|psk|secret|token|community"
    r"|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|shared[_-]?key))"
)
_VALUE = r"[!#-&(-+\--:=?-{}~]{4,128}"
_IN_TAGS = re.compile(r"<(?i:password|passwd|pwd|passphrase|secret|token|api_?key)>([^<>\n]{4,128})<")
_BEARER = re.compile(r"(?i:Authorization: ?(?:Bearer|Basic)) ([A-Za-z0-9+/=._~-]{8,2000})")
_MIXED = r"(?=[!-~]{0,64}[0-9])(?=[!-~]{0,64}[A-Za-z])"
_ASSIGNED = re.compile(
    rf"{_WORD}(?:\([^()\n]{{1,6}}\))?[\"']?\s{{0,3}}(?:[:=|]|(?<=\s)(?={_MIXED})|[はが](?=\s?[\"'「『]?\S{{0,64}}[0-9!#$%&@*+?]))\s{{0,3}}[\"'「『]?({_VALUE})"
)
_QUOTED = re.compile(rf"{_WORD}[\"']?\s{{0,3}}[:=]\s{{0,3}}\"(?=[^\"\n]{{0,64}}[0-9!#$%&@*+?])([ !#-~]{{4,128}})\"")
_VALUES = _IN_ADDRESS, _IN_TAGS, _BEARER
_AFTER_WORD = _QUOTED, _ASSIGNED
_AT_WORD = re.compile(f"(?={_WORD})")
_HEADING = re.compile(_WORD.replace(r"(?=\s?[はが:=])", ""))
_ONE_VALUE = re.compile(rf"\s*({_VALUE})\s*")
_COMMAND = re.compile(
    r"(?:enable (?:secret|password)|username \S{1,40} (?:privilege \d{1,2} )?(?:secret|password)|snmp-server community"
    r"|(?:isakmp|server|authentication-)key|(?:isakmp|server) key|key-string|pre-shared-key|wpa-psk(?: ascii)?)"
    rf" (?:\d )?({_VALUE})"
    rf"|^[ |]{{0,8}}password (?:\d )?((?=\S{{0,64}}[0-9!-/:-@]){_VALUE})[ \t]*$",
    re.MULTILINE,
)
_NO_VALUE = re.compile(
    r"[*x.=_#-]+|none|null|true|false|yes|no|on|off|required|optional|default|string|pass(?:word)?|pwd|secret|\$\{.*|\$[A-Za-z_]+|%\w+%",
    re.IGNORECASE,
)
_PROSE = re.compile(r" [a-z]| ?[一-龥ァ-ヴ]")


def secrets(context: Context) -> Iterator[Find]:
    """Private keys, tokens, and what is assigned to a password or stands under such a heading."""
    text = context.text
    yield from (Find("secret", start, end) for start, end in _keys(text))
    yield from (Find("secret", *match.span()) for match in _TOKEN.finditer(text))
    yield from (Find("secret", *match.span(match.lastindex or 0)) for match in _COMMAND.finditer(text))
    for match in _assigned(text):
        end = match.start(1) + len(match[1].rstrip(").:"))
        if _is_value(text, match.start(1), end):
            yield Find("secret", match.start(1), end)
    for start, cells, headings in context.rows():
        place = start
        for cell, heading in zip(cells, headings, strict=False):
            value = _ONE_VALUE.fullmatch(cell)
            if (
                value
                and any(map(_HEADING.fullmatch, heading))
                and _is_value(text, place + value.start(1), place + value.end(1))
            ):
                yield Find("secret", place + value.start(1), place + value.end(1))
            place += len(cell) + 1


def _assigned(text: str) -> Iterator[re.Match[str]]:
    """Group 1 of each may be a value."""
    for pattern in _VALUES:
        yield from pattern.finditer(text)
    words = [word.start() for word in _AT_WORD.finditer(text)]
    for pattern in _AFTER_WORD:
        place = 0
        for word in words:
            if word >= place and (match := pattern.match(text, word)):
                yield match
                place = match.end()


def _keys(text: str) -> Iterator[tuple[int, int]]:
    """Of each private key what is between its lines; without a last line, what looks like it."""
    place = 0
    while begin := _KEY.search(text, place):
        end = text.find("-----END", begin.end(), begin.end() + _LARGEST_KEY)
        lines = _KEY_LINES.match(text, begin.end())
        place = end if end >= 0 else lines.end() if lines else begin.end()
        yield begin.end(), place


def _is_value(text: str, start: int, end: int) -> bool:
    value = text[start:end]
    if len(value) < 4 or _NO_VALUE.fullmatch(value):
        return False
    return not (value.isalpha() and _PROSE.match(text, end))
