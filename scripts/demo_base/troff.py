"""Man pages (man and mdoc macros) -> one paragraph a line, without listings and tables.

Why not groff or mandoc: neither is on every machine, both wrap lines, and a base model is to learn no wrapping. What is
converted wrongly here costs a little text; nothing else depends on it.
"""

import re
import shlex
from collections.abc import Iterator

COMMENT = re.compile(r"""(?:^['.][ \t]*\\["#]|\\").*""", re.MULTILINE)
SKIPPED = {"nf": "fi", "EX": "EE", "TS": "TE", "EQ": "EN", "Vb": "Ve", "Bd": "Ed", "DS": "DE", "Ds": "De", "Ex": "Ee"}
_BREAKS = "SH SS TP TQ PP P LP IP HP br sp RS RE Sh Ss Pp Lp It Bl El in ti ce"
BREAKS = frozenset(_BREAKS.split())
HEADINGS = frozenset(["SH", "SS", "Sh", "Ss"])
SPACED_FONTS = frozenset(["B", "I", "SM", "SB"])
MIXED_FONTS = frozenset(["BR", "RB", "BI", "IB", "IR", "RI"])
QUOTES = {"Dq": "“”", "Sq": "‘’", "Ql": "‘’", "Qq": '""', "Pq": "()", "Op": "[]", "Bq": "[]", "Aq": "<>", "Brq": "{}"}
_WORDS = "Nm Ar Cm Ic Pa Ev Dv Er Li Em Sy Tn Va Vt Fa Ft Fn Xr Nd Ns Fl Ad Ms No Bx Ux Fx Nx Lk Mt Sx"
WORDS = frozenset(_WORDS.split())

FONT = re.compile(r"\\f(?:\(..|\[[^]]*\]|.)|\\s[+-]?\d+|\\[mM]\[[^]]*\]|\\[hvwbolLDCxX]'[^']*'|\\n(?:\(..|\[[^]]*\]|.)")
NAMED = re.compile(r"\\\((..)|\\\[([^]]*)\]")
STRING = re.compile(r"\\\*(?:\((..)|\[([^]]*)\]|(.))")
NOTHING = re.compile(r"\\[&|^/,)%:cdupz]")
SPACE = re.compile(r"\\[ ~0]")
GLYPHS = {"aq": "'", "dq": '"', "oq": "‘", "cq": "’", "lq": "“", "rq": "”", "ga": "`", "la": "<", "ra": ">", "ha": "^"}
GLYPHS |= {"en": "–", "em": "—", "hy": "-", "mi": "-", "bu": "•", "co": "©", "mu": "×", "+-": "±", "de": "°", "ti": "~"}
GLYPHS |= {"rs": "\\", "->": "→", "<-": "←"}
WIDE = r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]"
WRAPPED = re.compile(rf"(?<={WIDE}) (?={WIDE})")


def paragraphs(source: str) -> Iterator[str]:
    """The page's headings and paragraphs, each on one line. A page that only points at another (.so) has none."""
    strings = {"lq": "“", "rq": "”", "Aq": "'", "R": "®", "Tm": "™"}
    held: list[str] = []
    name = ""
    for request, rest in _requests(COMMENT.sub("", source)):
        if request == "ds":
            key, _, value = rest.partition(" ")
            strings[key] = value.strip().lstrip('"')
        if request in BREAKS or (not request and not rest):
            yield from _joined(held)
            held = []
        if request == "Nm" and not rest:
            rest = name
        words = _words(request, rest)
        if request == "Nm" and not name:
            name = words
        if words:
            held.append(plain(words, strings))
        if request in HEADINGS and words:
            yield from _joined(held)
            held = []
    yield from _joined(held)


def plain(text: str, strings: dict[str, str]) -> str:
    """Text without troff's escapes."""
    text = STRING.sub(lambda m: strings.get(m[1] or m[2] or m[3], ""), text)
    text = SPACE.sub(" ", NOTHING.sub("", FONT.sub("", text)))
    text = NAMED.sub(lambda m: _glyph(m[1] or m[2] or ""), text)
    return text.replace("\\-", "-").replace("\\'", "'").replace("\\`", "`").replace("\\.", ".").replace("\\e", "\\")


def unwrapped(text: str) -> str:
    """One blank for any run of blanks, none where the source's wrapping had put one between Japanese characters."""
    return WRAPPED.sub("", " ".join(text.split()))


def _requests(source: str) -> Iterator[tuple[str, str]]:
    """(request, its arguments) line by line, ("", text) for text; without listings, definitions and conditions."""
    until, depth = "", 0
    for line in source.replace("\\\n", "").split("\n"):
        control = re.match(r"['.][ \t]*([A-Za-z]{1,3}|\.)?[ \t]*(.*)", line)
        request, rest = (control[1] or "", control[2].strip()) if control else ("", line.strip())
        if depth or request in {"if", "ie", "el"}:
            depth = max(0, depth + line.count("\\{") - line.count("\\}"))
        elif until:
            until = "" if request == until else until
        elif request in SKIPPED:
            until = SKIPPED[request]
            yield "br", ""
        elif request in {"de", "ig", "am"}:
            until = rest.split()[-1] if len(rest.split()) > (request != "ig") else "."
        elif not (control and not request):
            yield request, rest


def _words(request: str, rest: str) -> str:
    """The text that a request prints."""
    if not request:
        return rest
    if request in HEADINGS or request in SPACED_FONTS:
        return " ".join(_arguments(rest))
    if request in MIXED_FONTS:
        return "".join(_arguments(rest))
    if request in {"TP", "IP", "HP"}:
        return " ".join(_arguments(rest)[:1]) if request == "IP" else ""
    if request == "It" or request in WORDS or request in QUOTES:
        return _mdoc([request, *_arguments(rest)])
    return ""


def _mdoc(words: list[str]) -> str:
    """mdoc's macros are called from within a line too: quotes go around the rest of it, the others vanish."""
    printed: list[str] = []
    for at, word in enumerate(words):
        if word in QUOTES:
            quotes = QUOTES[word]
            return " ".join([*printed, quotes[0] + _mdoc(words[at + 1 :]) + quotes[1]])
        if at and words[at - 1] == "Fl":
            word = f"-{word}"
        elif at > 1 and words[at - 2] == "Xr" and word.isalnum():
            printed[-1] += f"({word})"
            continue
        if word not in WORDS and word != "It":
            printed.append(word)
    return " ".join(printed)


def _arguments(rest: str) -> list[str]:
    lexer = shlex.shlex(rest, posix=True)
    lexer.whitespace_split, lexer.escape, lexer.quotes, lexer.commenters = True, "", '"', ""
    try:
        return list(lexer)
    except ValueError:  # a quote that is never closed
        return rest.replace('"', "").split()


def _glyph(name: str) -> str:
    if re.fullmatch(r"u[0-9A-F]{4,5}", name):
        return chr(int(name[1:], 16))
    return GLYPHS.get(name, "")


def _joined(lines: list[str]) -> Iterator[str]:
    text = unwrapped(" ".join(lines))
    if text:
        yield text
