"""What the base is trained on: Debian 12 packages, pinned, and how to come from their files to documents."""

import gzip
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from demo_members.sources import Package, unpack

from demo_base.pages import html_paragraphs, xml_paragraphs
from demo_base.troff import paragraphs


class Source(NamedTuple):
    """A package, the pattern of its Japanese files below the package's root, and its licence by its copyright file."""

    package: Package
    pages: str
    licence: str

    @property
    def name(self) -> str:
        return self.package.name.partition("=")[0]


def _doc(name: str, sha256: str, root: str, pages: str, licence: str) -> Source:
    return Source(Package(name, sha256, root), pages, licence)


# Licences: of the documentation, as each package's copyright file states it.
SOURCES = (
    _doc(
        "manpages-ja=0.5.0.0.20221215+dfsg-1",
        "4d270e9a1e83be4de0c072a110892a17dc9caa4b501257324006ac28d82c5743",
        "usr/share/man/ja",
        "man*/*.gz",
        "that of each original page (GPL, BSD, MIT and others), all free",
    ),
    _doc(
        "manpages-ja-dev=0.5.0.0.20221215+dfsg-1",
        "eab2ad5f14a87b3911c48c90cef92f85d0e77ca5356923f9f9fbc38a86601d1e",
        "usr/share/man/ja",
        "man*/*.gz",
        "that of each original page (GPL, BSD, MIT and others), all free",
    ),
    _doc(
        "lilypond-doc-html-ja=2.24.1-2",
        "b8cee0178006f96793c7ba9699aee6b4fc7598d1f840fbf95a2906a19b50ecd5",
        "usr/share/doc/lilypond/html/Documentation",
        "*/*.ja.html",
        "GFDL-1.3+",
    ),
    _doc(
        "scilab-doc-ja=6.1.1+dfsg2-6",
        "24db613e4fade392929801e55f59cb337d8aa35b01134df2e78a7461b609206a",
        "usr/share/scilab/modules/helptools/jar",
        "*.jar",
        "GPL-2+",
    ),
    _doc(
        "debian-reference-ja=2.100",
        "f67140e0b994409413bd5fcc8dfcce832445c99d724401f0275fa238daf30325",
        "usr/share/debian-reference",
        "*.ja.html",
        "GPL-2+",
    ),
    _doc(
        "gimp-help-ja=2.10.34-2",
        "75cef98ec1bdf8d1440da8dc55c6a3dd8b5dd03944d7adc80ba727061e681436",
        "usr/share/gimp/2.0/help/ja",
        "*.html",
        "GFDL-1.2+ without invariant sections",
    ),
    _doc(
        "kicad-doc-ja=6.0.11+dfsg-1",
        "65fd19996d8d22bb443c0f9b3514466a528337711be20bfe147a64d1a9d94d8c",
        "usr/share/doc/kicad/help/ja",
        "*.html",
        "GPL-3+ or CC-BY-3.0+",
    ),
    _doc(
        "debian-edu-doc-ja=2.12.23~deb12u1",
        "ef8656af2240094faffc85144ce659eda1114df5a9da14580f4bfbe95fa505bf",
        "usr/share/doc/debian-edu-doc-ja",
        "*.html",
        "GPL-2+, GPL-3+",
    ),
    _doc(
        "developers-reference-ja=12.18",
        "fdcd6ac4ade8b3a68449c7ba881195e37f429c64b8067ee7269404d1b86fa229",
        "usr/share/developers-reference/ja",
        "*.html",
        "GPL-2",
    ),
    _doc(
        "gnome-user-docs=43.0-2",
        "0d635a840747958ca84da778b40d341f1155603851f922c9a171f5a181d6a39f",
        "usr/share/help/ja",
        "*/*.page",
        "CC-BY-SA-3.0",
    ),
    _doc(
        "gnome-devel-docs=40.3-1",
        "6089362d009f1c38b406fdf88da24d69965eaa5756097c50e0954bba5312bfbc",
        "usr/share/help/ja",
        "*/*.*",
        "CC-BY-SA-3.0, GFDL-1.1+ without invariant sections",
    ),
    _doc(
        "harden-doc=3.19+nmu1",
        "77ffacb6f8af4afbdf39f3de6040a710ae6ffcc40e2fab5b5d312dfb11d28d94",
        "usr/share/doc/harden-doc/html/ja-JP",
        "*.html",
        "GPL-2",
    ),
    _doc(
        "debian-faq-ja=11.1",
        "7e2a2f200a963e41dead4dd8645e0dd6550e2eda4cd88041b8e880046ca924a2",
        "usr/share/doc/debian/FAQ/ja",
        "*.html",
        "its own: verbatim and modified copies under the same terms",
    ),
    _doc(
        "maint-guide-ja=1.2.53",
        "67e9020818b7664b465239d96316a13af5f8cbd9a8bed5e8773c74e31ca24c97",
        "usr/share/doc/maint-guide-ja/html",
        "*.html",
        "GPL-2+",
    ),
    _doc(
        "aptitude-doc-ja=0.8.13-5",
        "070ec003bdad1d3074c7cb012b0003f7379d7dce636f342705be4e2231072b45",
        "usr/share/doc/aptitude/html/ja",
        "*.html",
        "GPL-2+",
    ),
    _doc(
        "inkscape-tutorials=1.2.2-2+deb12u1",
        "e3be7dc12415971d3f427f98072a86f14a76c0107edb8e297f648f7614dc6985",
        "usr/share/inkscape/tutorials",
        "*.ja.svg",
        "GPL",
    ),
    _doc(
        "debian-policy-ja=4.6.2.0",
        "0e1718a5b473f3d7a8f3ab4e616f4d2140d6d7d46f3b6e30bb6fddbd8948d4ef",
        "usr/share/doc/debian-policy/ja",
        "policy.html/*.html",
        "GPL-2+",
    ),
    _doc(
        "xfig-doc=1:3.2.8b-2",
        "36b17319b7c3fd7c670bd24dbce393e0776e1a4347a9467166194c8baec5644f",
        "usr/share/doc/xfig/html/japanese",
        "*.html",
        "its own: use, copying and modification without fee, notice kept",
    ),
)

READERS: dict[str, Callable[[str], Iterator[str]]] = {
    ".html": html_paragraphs,
    ".page": xml_paragraphs,
    ".docbook": xml_paragraphs,
    ".svg": xml_paragraphs,
    ".gz": paragraphs,
}


def read_source(source: Source, debs: Path, scratch: Path) -> list[list[str]]:
    """The package's documents as paragraphs, in order of their paths. Fetches the package unless it is in `debs`."""
    root = unpack(source.package, debs, scratch)
    documents = []
    for path in sorted(root.glob(source.pages)):
        for suffix, content in _contents(path):
            if suffix in READERS:
                documents.append(list(READERS[suffix](content.decode("utf-8", "replace"))))
    return documents


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """(suffix, bytes) of the file, or of each file inside it if it is an archive."""
    if path.suffix == ".jar":
        with zipfile.ZipFile(path) as archive:
            yield from ((Path(name).suffix, archive.read(name)) for name in sorted(archive.namelist()))
    elif path.is_file():
        content = path.read_bytes()
        yield path.suffix, gzip.decompress(content) if path.suffix == ".gz" else content
