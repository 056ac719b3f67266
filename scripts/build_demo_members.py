# /// script
# requires-python = ">=3.11"
# dependencies = ["selectolax==1.0.2"]
# ///
"""Build the demo's thirty members: Japanese documentation that stands in for private manuals.

Why: a demo needs texts that may be published, and that the members do not share. Three Debian packages give both. Each
is pinned by version and SHA-256, so that the same bytes come out anywhere. None of it is a machine-tool manual.

How: unpack, keep the Japanese text of each page's main content (one paragraph, list item or table row a line), cut long
pages at headings, drop whatever an earlier document has already said, and deal what is left to the members, domain by
domain (neighbouring pages to the same member, so that the members differ as real ones do).

Left out: groonga-doc, whose documentation is under LGPL-2.1.

Run, on Debian 12 after `apt-get update` (selectolax is needed here only), and put the table into demo/LICENSES.md:

    uv run scripts/build_demo_members.py --cache ~/demo-debs
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

MEMBERS = Path(__file__).resolve().parents[1] / "aggregator" / "simulate" / "demo" / "members"

SHORTEST, CUT_AT_HEADING, CUT_ANYWHERE = 400, 2_500, 5_000  # characters in a document
MOST_AT_A_MEMBER = 40_000  # characters; the document on the border may carry it a little further
SPAN = 40  # characters, blanks aside, that no two documents may share: stricter than 50 with blanks
JAPANESE_SHARE = 0.35
BOILERPLATE_PAGES = 20  # a line found on this many pages of a package says nothing about any of them

MAIN_CONTENT = ("#page-content", "#DisplayArea", "body")
NO_CONTENT = (
    "script, style, nav, pre, p.code, .example, .toplang, .bottomlang, .lang-toggle, #quickview, .top, .seealso, "
    ".permalink, .howtoget, .relatedtopics, .noteicon, #banner, #title, .docnav, .toc, .indexterm"
)
BLOCKS = frozenset(("blockquote", "br", "dd", "div", "dl", "dt", "li", "ol", "p", "section", "table", "ul"))
BREAK, TITLE = "\x1e", "\x1f"  # marks within a page's text while it is taken apart
ANY_BREAK = re.compile(rf"{BREAK}(\d{TITLE})?")
JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff々]")
WRAPPED = re.compile(r"(?<=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]) (?=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef])")
ENGLISH = r"(?:[A-Za-z][A-Za-z'’-]*[,.;:]? +){%d}[A-Za-z]"
ENGLISH_LINE, ENGLISH_RUN = re.compile(ENGLISH % 3), re.compile(ENGLISH % 6)
# Bare links, the mirrors from which packages come, and what the help's own build could not find.
POINTER = re.compile(r"^→ http|\b(?:deb|ftp[\w-]*|httpredir|mirrors?|packages|security|snapshot)\.[\w-]+\.|not found\]")


class Package(NamedTuple):
    """A Debian package (name=version), pinned, and where in it the Japanese pages are."""

    name: str
    sha256: str
    root: str


class Domain(NamedTuple):
    """Pages of one kind (patterns of their places), and the members among whom they are dealt."""

    name: str
    package: Package
    pages: str
    members: str


class Line(NamedTuple):
    """One paragraph, list item or table row (level 0), or a heading (1 to 6)."""

    text: str
    level: int = 0


class Document(NamedTuple):
    """What becomes one file."""

    slug: str
    lines: list[Line]

    @property
    def text(self) -> str:
        return "".join(("\n" if line.level else "") + line.text + "\n" for line in self.lines).lstrip("\n")


APACHE = Package(
    "apache2-doc=2.4.68-1~deb12u1",
    "cee8fe80ffb5de2744cd690c3d795b489e43a1c44c4e3a634c521642f22d7835",
    "usr/share/doc/apache2-doc/manual/ja",
)
HANDBOOK = Package(
    "debian-handbook=11.20220922",
    "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
    "usr/share/doc/debian-handbook/html/ja-JP",
)
OFFICE = Package(
    "libreoffice-help-ja=4:7.4.7-1+deb12u14",
    "7799ace9bfe0845771ed2499913e7f7e521318cf3727c007672e3b020f8eb7b9",
    "usr/share/libreoffice/help/ja/text",
)

# The members' names are weather, light and seasons joined to a trade: invented, and meant to sound so.
DOMAINS = (
    Domain("web server: core", APACHE, "mod/core mod/mpm* mod/prefork mod/worker", "asanagi-seiki inazumi-koki"),
    Domain("web server: proxy and cache", APACHE, "mod/mod_proxy* mod/mod_cache*", "hatsushimo-kikai"),
    Domain("web server: content", APACHE, "mod/mod_mime* mod/mod_[ain]*", "kirisame-seisakusho"),
    Domain("web server: other modules", APACHE, "mod/*", "hotarubi-kogyo"),
    Domain("web server: how-tos", APACHE, "howto/* vhosts/* ssl/*", "sazanami-denki"),
    Domain("web server: running it", APACHE, "*", "komorebi-buhin usurai-tekko"),
    Domain("system: project", HANDBOOK, "the-debian-project* case-study* existing-setup*", "oborozuki-kanagata"),
    Domain("system: installing", HANDBOOK, "installation* short-remedial-course*", "yukidoke-kogyo"),
    Domain("system: packages", HANDBOOK, "packaging-system* apt* debian-packaging*", "samidare-kiko"),
    Domain("system: configuring", HANDBOOK, "basic-configuration* solving-problems*", "akatombo-seiki"),
    Domain("system: services", HANDBOOK, "unix-services*", "tsuyukusa-denso"),
    Domain("system: network services", HANDBOOK, "network-services*", "kogarashi-jukogyo"),
    Domain("system: many machines", HANDBOOK, "advanced-administration*", "minamo-robotto"),
    Domain("system: security", HANDBOOK, "security*", "yoiyami-keisoku"),
    Domain("system: network and desktop", HANDBOOK, "network-infrastructure* workstation*", "shigure-tsushin"),
    Domain("office: cell functions", OFFICE, "scalc/01/0406* scalc/01/func*", "hoshikuzu-keiki tasogare-kosaku"),
    Domain("office: spreadsheets", OFFICE, "scalc/*", "natsugumo-kako kagerobi-seimitsu"),
    Domain("office: letters, commands", OFFICE, "swriter/01*", "hanafubuki-insatsu"),
    Domain("office: letters, tasks", OFFICE, "swriter/*", "wakakusa-shiko minazuki-hoso"),
    Domain("office: macros", OFFICE, "sbasic/*", "shinonome-seigyo"),
    Domain("office: slides and drawings", OFFICE, "simpress/* sdraw/*", "nijimori-sekkei yamabuki-kogei"),
    Domain("office: formulae and charts", OFFICE, "smath/* schart/*", "akikaze-kogaku"),
    Domain("office: tasks in any program", OFFICE, "shared/guide/*", "hatsuyuki-chuzo uzushio-ponpu"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, help="folder that keeps the .deb files (default: a temporary one)")
    parser.add_argument("--out", type=Path, default=MEMBERS, help="folder of the members' folders")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        roots = {p: unpack(p, args.cache or Path(scratch), Path(scratch)) for p in (APACHE, HANDBOOK, OFFICE)}
        domains = list(read_domains(roots))
    print("| member | domain | package | documents | characters |\n|---|---|---|---:|---:|")
    for domain, documents in unsaid(domains):
        for member, share in deal(documents, domain.members.split()):
            shutil.rmtree(args.out / member, ignore_errors=True)  # no document of an earlier build may stay behind
            (args.out / member).mkdir(parents=True)
            for document in share:
                (args.out / member / f"{document.slug}.txt").write_text(document.text, encoding="utf-8", newline="\n")
            counts = f"{len(share)} | {sum(len(document.text) for document in share):,}"
            print(f"| {member} | {domain.name} | {domain.package.name.partition('=')[0]} | {counts} |")


def unpack(package: Package, debs: Path, scratch: Path) -> Path:
    """Fetch the package unless it is there, refuse any bytes but the pinned ones, and return its pages' root."""
    deb = debs / f"{package.name.replace('=', '_').replace(':', '%3a')}_all.deb"
    debs.mkdir(parents=True, exist_ok=True)
    if not deb.exists() and subprocess.run(["apt-get", "download", package.name], cwd=debs, check=False).returncode:
        remedy = f"Run `apt-get update`, or put {deb.name} from Debian's snapshot archive into --cache."
        raise SystemExit(f"{package.name} cannot be had. {remedy}")
    found = hashlib.sha256(deb.read_bytes()).hexdigest()
    if found != package.sha256:
        raise SystemExit(f"{deb.name} is not the pinned file: SHA-256 {found}, wanted {package.sha256}. Delete it.")
    subprocess.run(["dpkg-deb", "-x", str(deb), str(scratch / deb.stem)], check=True)
    return scratch / deb.stem / package.root


def read_domains(roots: dict[Package, Path]) -> Iterator[tuple[Domain, list[Document]]]:
    """Read each package whole, so that boilerplate can be counted; a page goes to the first domain that names it."""
    left = {package: read_package(root) for package, root in roots.items()}
    for domain in DOMAINS:
        pages = left[domain.package]
        named = (place for pattern in domain.pages.split() for place in sorted(pages) if fnmatchcase(place, pattern))
        yield domain, [part for place in dict.fromkeys(named) for part in cut(place, pages.pop(place))]


def read_package(root: Path) -> dict[str, list[Line]]:
    """The pages by place, without the lines that too many of them have."""
    pages = dict(read_page(path, root) for path in root.rglob("*.html"))
    seen = Counter(text for lines in pages.values() for text in {line.text for line in lines if not line.level})
    return {
        place: without_empty_sections([line for line in lines if seen[line.text] < BOILERPLATE_PAGES])
        for place, lines in pages.items()
    }


def read_page(path: Path, root: Path) -> tuple[str, list[Line]]:
    """The page's place (its path, below its chapter if it names one) and its own text, line by line."""
    tree = LexborHTMLParser(path.read_text(encoding="utf-8"))
    chapter = tree.css_first("link[rel=up]:not([href='index.html'])")
    place = (f"{chapter.attributes['href']}/" if chapter else "") + str(path.relative_to(root))
    for unwanted in tree.css(NO_CONTENT):
        unwanted.decompose()
    main_content = next(filter(None, map(tree.css_first, MAIN_CONTENT)))
    return place.replace(".html", ""), list(as_lines(marked(main_content)))


def marked(node: LexborNode) -> str:
    """The node's text with BREAK around each block, a heading's level before TITLE, and a table's row in one block."""
    if node.tag == "-text":
        return node.text_content or ""
    inner = [marked(child) for child in node.iter(include_text=True)]
    if node.tag == "tr":
        cells = (" ".join(ANY_BREAK.sub(" ", cell).split()) for cell in inner)
        return BREAK + " | ".join(cell for cell in cells if cell).replace(": | ", ": ") + BREAK
    text = "".join(inner)
    if node.tag and re.fullmatch("h[1-6]", node.tag):
        return f"{BREAK}{node.tag[1:]}{TITLE}{ANY_BREAK.sub(' ', text)}{BREAK}"
    return f"{BREAK}{text}{BREAK}" if node.tag in BLOCKS else text


def as_lines(marked_text: str) -> Iterator[Line]:
    """Undo the source's wrapping, but no NFKC: it would spoil ① and ㎜. Passages left in English are dropped."""
    for raw in marked_text.split(BREAK):
        level, _, inner = raw.rpartition(TITLE)
        text = WRAPPED.sub("", " ".join(inner.replace("\u200b", "").split()))
        share = japanese_share(text)
        in_english = share < JAPANESE_SHARE and (ENGLISH_RUN if share else ENGLISH_LINE).search(text)
        if text and not in_english and not POINTER.search(text):
            yield Line(text, int(level or 0))


def japanese_share(text: str) -> float:
    return len(JAPANESE.findall(text)) / max(1, len(text))


def without_empty_sections(lines: list[Line]) -> list[Line]:
    """Drop headings with nothing below them: their text was a listing, or was not translated."""
    kept: list[Line] = []
    for line in reversed(lines):
        below = kept[-1].level if kept else 1
        if not line.level or not 1 <= below <= line.level:
            kept.append(line)
    return kept[::-1]


def cut(place: str, lines: list[Line]) -> Iterator[Document]:
    """One document for a page of ordinary length; numbered ones, cut at headings where possible, for a long page."""
    slug = re.sub(r"[^a-z0-9]+", "-", place.lower().replace("sect.", ""))
    if sum(len(line.text) for line in lines) <= CUT_ANYWHERE:
        yield Document(slug, lines)
        return
    parts: list[list[Line]] = [[]]
    for line in lines:
        size = sum(len(earlier.text) for earlier in parts[-1])
        if size + len(line.text) > CUT_ANYWHERE or (line.level and size > CUT_AT_HEADING):
            parts.append([])
        parts[-1].append(line)
    yield from (Document(f"{slug}-{number:02}", part) for number, part in enumerate(parts, start=1))


def unsaid(domains: list[tuple[Domain, list[Document]]]) -> Iterator[tuple[Domain, list[Document]]]:
    """Keep what no earlier document says, and of that the documents long and Japanese enough to be worth keeping."""
    seen: set[bytes] = set()
    for domain, documents in domains:
        kept = []
        for document in documents:
            rest = Document(document.slug, without_seen_spans(document.lines, seen))
            mostly_new = len(rest.text) * 2 > len(document.text)
            if mostly_new and len(rest.text) >= SHORTEST and japanese_share(rest.text) >= JAPANESE_SHARE:
                kept.append(rest)
                seen.update(digest for digest, _ in spans(rest.lines))
        yield domain, kept


def without_seen_spans(lines: list[Line], seen: set[bytes]) -> list[Line]:
    """Drop the lines that make up a span seen before, until none is left (what is dropped brings others together)."""
    while repeated := {owner for digest, owner in spans(lines) if digest in seen}:
        lines = without_empty_sections([line for i, line in enumerate(lines) if i not in repeated])
    return lines


def spans(lines: list[Line]) -> Iterator[tuple[bytes, int]]:
    """Every run of SPAN characters, blanks aside, as a digest, with the number of the line that its middle is in."""
    squeezed = ["".join(line.text.split()) for line in lines]
    owners = [i for i, text in enumerate(squeezed) for _ in text]
    whole = "".join(squeezed)
    for start in range(len(whole) - SPAN + 1):
        digest = hashlib.blake2b(whole[start : start + SPAN].encode(), digest_size=8).digest()
        yield digest, owners[start + SPAN // 2]


def deal(documents: list[Document], members: list[str]) -> Iterator[tuple[str, list[Document]]]:
    """Deal a domain's documents in runs of neighbours, equally long; what is over MOST_AT_A_MEMBER goes to nobody."""
    sizes = [len(document.text) for document in documents]
    share = min(MOST_AT_A_MEMBER, sum(sizes) / len(members))
    turns = [int((end - size / 2) / share) for size, end in zip(sizes, accumulate(sizes), strict=True)]
    for turn, member in enumerate(members):
        yield member, [document for document, its in zip(documents, turns, strict=True) if its == turn]


if __name__ == "__main__":
    main()
