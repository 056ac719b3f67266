"""HTML, and XML of the kinds that Debian's documentation comes in (Mallard, DocBook, SVG) -> one paragraph a line."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree  # what is parsed is pinned by its SHA-256

from demo_members.pages import BLOCKS, BREAK, as_lines, marked
from selectolax.lexbor import LexborHTMLParser

# Listings, and what stands on every page: menus, tables of contents, indices, credits.
UNWANTED = (
    "script, style, nav, head, footer, pre, .screen, .programlisting, .example, .verbatim, .synopsis, .indexterm, "
    ".toc, .contents, .docnav, .nav_table, .toc_uplink, .navheader, .navfooter, .manualnavbar, .path, .sphinxsidebar, "
    ".related, .headerlink, .footer_version, .footer_report, .bibliography, .author, .copyright, .legalnotice, "
    "#tocframe, #toc, #footer, #footer-text, #languages, #highlighting-settings"
)
XML_UNWANTED = frozenset(
    ("authorgroup", "credit", "defs", "legalnotice", "license", "metadata", "programlisting", "revhistory", "revision")
) | {"screen", "style"}
XML_BLOCKS = BLOCKS | frozenset(
    ("desc", "entry", "example", "info", "item", "note", "page", "para", "row", "td", "term", "text", "title", "tr")
)


def html_paragraphs(text: str) -> Iterator[str]:
    """The page's own paragraphs, list items, headings and table rows."""
    tree = LexborHTMLParser(text)
    for unwanted in tree.css(UNWANTED):
        unwanted.decompose()
    if tree.body:
        yield from (line.text for line in as_lines(marked(tree.body)))


def xml_paragraphs(text: str) -> Iterator[str]:
    """The same for XML. Entities that a document takes from elsewhere are left out."""
    declared = set(re.findall(r"<!ENTITY\s+([\w.-]+)\s+[\"']", text)) | {"amp", "lt", "gt", "quot", "apos"}
    known = re.sub(r"&([\w.-]+);", lambda m: m[0] if m[1] in declared else "", text)
    try:
        root = ElementTree.fromstring(known)  # noqa: S314
    except ElementTree.ParseError:
        return
    yield from (line.text for line in as_lines(_marked_xml(root)))


def _marked_xml(node: ElementTree.Element) -> str:
    tag = node.tag.rpartition("}")[2] if isinstance(node.tag, str) else "screen"  # a comment has no tag
    if tag in XML_UNWANTED:
        return ""
    inner = (node.text or "") + "".join(_marked_xml(child) + (child.tail or "") for child in node)
    return f"{BREAK}{inner}{BREAK}" if tag in XML_BLOCKS else inner
