"""The thirty members: what each is about, how large it is, and what its folder looks like."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import NamedTuple

from demo_members.pages import Line
from demo_members.sources import APACHE, HANDBOOK, OFFICE, Package
from demo_members.texts import Document, cut

# What a member keeps its documents in: shares of them, by suffix.
HABITS = {
    "site": {"html": 0.7, "txt": 0.2, "pdf": 0.1},
    "paper": {"pdf": 0.55, "docx": 0.2, "txt": 0.25},
    "word": {"docx": 0.55, "pdf": 0.15, "txt": 0.3},
    "plain": {"txt": 0.75, "html": 0.25},
    "mixed": {"txt": 0.3, "html": 0.25, "docx": 0.25, "pdf": 0.2},
}
CP932_SHARE = 1 / 3  # of the text files (TXT, HTML) that can be written in it
SHELVES = {"html": "社内サイト", "pdf": "手順書", "docx": "手順書", "txt": "資料"}


class Member(NamedTuple):
    """`thousands`: of characters wanted, logs aside. `habit`: a key of HABITS."""

    name: str
    thousands: int
    habit: str


class Domain(NamedTuple):
    """Pages of one kind (patterns of their places), and the members among whom they are dealt."""

    name: str
    package: Package
    pages: str
    dealt_to: str

    @property
    def members(self) -> list[Member]:
        """Written `name:thousands:habit`."""
        parts = (entry.split(":") for entry in self.dealt_to.split())
        return [Member(name, int(thousands), habit) for name, thousands, habit in parts]


class File(NamedTuple):
    """A document on its way to a member's folder. `name` has no suffix; `cp932` is said of TXT and HTML."""

    document: Document
    name: str
    suffix: str
    cp932: bool


# The members' names are weather, light and seasons joined to a trade: invented, and meant to sound so.
DOMAINS = (
    Domain(
        "web server: core",
        APACHE,
        "mod/core mod/mpm* mod/prefork mod/worker",
        "asanagi-seiki:42:mixed inazumi-koki:22:plain",
    ),
    Domain("web server: proxy and cache", APACHE, "mod/mod_proxy* mod/mod_cache*", "hatsushimo-kikai:37:paper"),
    Domain("web server: content", APACHE, "mod/mod_mime* mod/mod_[ain]*", "kirisame-seisakusho:64:site"),
    Domain("web server: other modules", APACHE, "mod/*", "hotarubi-kogyo:30:word"),
    Domain("web server: how-tos", APACHE, "howto/* vhosts/* ssl/*", "sazanami-denki:54:mixed"),
    Domain("web server: running it", APACHE, "*", "komorebi-buhin:62:site usurai-tekko:27:plain"),
    Domain(
        "system: project", HANDBOOK, "the-debian-project* case-study* existing-setup*", "oborozuki-kanagata:35:word"
    ),
    Domain("system: installing", HANDBOOK, "installation* short-remedial-course*", "yukidoke-kogyo:34:paper"),
    Domain("system: packages", HANDBOOK, "packaging-system* apt* debian-packaging*", "samidare-kiko:52:mixed"),
    Domain("system: configuring", HANDBOOK, "basic-configuration* solving-problems*", "akatombo-seiki:40:plain"),
    Domain("system: services", HANDBOOK, "unix-services*", "tsuyukusa-denso:28:paper"),
    Domain("system: network services", HANDBOOK, "network-services*", "kogarashi-jukogyo:34:site"),
    Domain("system: many machines", HANDBOOK, "advanced-administration*", "minamo-robotto:37:word"),
    Domain("system: security", HANDBOOK, "security*", "yoiyami-keisoku:31:plain"),
    Domain("system: network and desktop", HANDBOOK, "network-infrastructure* workstation*", "shigure-tsushin:17:mixed"),
    Domain(
        "office: cell functions",
        OFFICE,
        "scalc/01/0406* scalc/01/func*",
        "hoshikuzu-keiki:70:site tasogare-kosaku:22:word",
    ),
    Domain("office: spreadsheets", OFFICE, "scalc/*", "natsugumo-kako:15:plain kagerobi-seimitsu:60:mixed"),
    Domain("office: letters, commands", OFFICE, "swriter/01*", "hanafubuki-insatsu:52:paper"),
    Domain("office: letters, tasks", OFFICE, "swriter/*", "wakakusa-shiko:44:word minazuki-hoso:16:site"),
    Domain("office: macros", OFFICE, "sbasic/*", "shinonome-seigyo:49:plain"),
    Domain(
        "office: slides and drawings", OFFICE, "simpress/* sdraw/*", "nijimori-sekkei:20:paper yamabuki-kogei:45:mixed"
    ),
    Domain("office: formulae and charts", OFFICE, "smath/* schart/*", "akikaze-kogaku:43:site"),
    Domain("office: any program", OFFICE, "shared/guide/* shared/*", "hatsuyuki-chuzo:112:mixed uzushio-ponpu:96:word"),
)


def documents_of(domain: Domain, pages: dict[str, list[Line]]) -> list[Document]:
    """The domain's documents. A page goes to the first domain that names it: it is taken out of `pages`."""
    named = (place for pattern in domain.pages.split() for place in sorted(pages) if fnmatchcase(place, pattern))
    return [part for place in dict.fromkeys(named) for part in cut(place, pages.pop(place))]


def deal(documents: Sequence[Document], members: Sequence[Member]) -> Iterator[tuple[Member, list[Document]]]:
    """Neighbours to the same member until it has what it wants (the last document may bring a little more)."""
    left = list(documents)
    for member in members:
        share: list[Document] = []
        while left and sum(len(document.text) for document in share) < 1_000 * member.thousands:
            share.append(left.pop(0))
        yield member, share


def laid_out(member: Member, share: Sequence[Document]) -> list[File]:
    """A format, a name and an encoding for each document: by a draw that hangs on names alone, the shares exact."""
    formats = [suffix for suffix, part in HABITS[member.habit].items() for _ in range(round(part * len(share)))]
    formats += ["txt"] * (len(share) - len(formats))
    drawn = _drawn(share, member, "format")
    suffixes = {document.slug: suffix for document, suffix in zip(drawn, formats, strict=False)}
    candidates = [d for d in share if suffixes[d.slug] in ("txt", "html") and in_cp932(d.text)]
    chosen = _drawn(candidates, member, "encoding")[: round(CP932_SHARE * len(candidates))]
    titled = _drawn(share, member, "name")[: len(share) // 2]
    return [
        File(
            document,
            _name(document, suffixes[document.slug], document in titled),
            suffixes[document.slug],
            document in chosen,
        )
        for document in share
    ]


def in_cp932(text: str) -> bool:
    return text.encode("cp932", "ignore").decode("cp932") == text


def _drawn(documents: Sequence[Document], member: Member, what: str) -> list[Document]:
    return sorted(documents, key=lambda d: sha256(f"{what}/{member.name}/{d.slug}".encode()).digest())


def _name(document: Document, suffix: str, titled: bool) -> str:
    """The place of its page; half of the files have their title too, and a shelf to lie on."""
    if not titled:
        return document.slug
    title = re.sub(r"[^\w・ー]+", "_", document.lines[0].text)[:24].strip("_")
    return f"{SHELVES[suffix]}/{document.slug}_{title}"
