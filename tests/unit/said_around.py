"""Documents that say something around their text: in headers, stamps, watermarks and properties."""

import io
import zipfile

import docx

from tests.unit.test_ingest_parser import page_showing, pdf_of, stream


def informed(**entries: bytes) -> bytes:
    """A PDF that says something about itself: entries of its information, as they stand in the file."""
    said = b"".join(b"/%s%s" % (key.encode(), entry) for key, entry in entries.items())
    page = page_showing(stream(b"BT /F 9 Tf 20 100 Td (Check the spindle.) Tj ET"), b"null", b"<<%s>>" % said)
    return page.replace(b"trailer\n<<", b"trailer\n<</Info 6 0 R")


def utf_16(text: str) -> bytes:
    return b"<FEFF%s>" % text.encode("utf-16-be").hex().encode()


def described(**properties: str) -> bytes:
    """A DOCX with core properties."""
    document = docx.Document()
    document.add_paragraph("主軸を点検する。" + "".join(properties.values()))
    for name, value in properties.items():
        setattr(document.core_properties, name, value)
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def custom(name: str, value: str) -> str:
    """A property that an author or a labelling program made up."""
    return f'<Properties><property name="{name}"><vt:lpwstr xmlns:vt="v">{value}</vt:lpwstr></property></Properties>'


def library(kind: str) -> str:
    """What a document library keeps of a file within it."""
    return f'<properties xmlns="p"><documentManagement><kind xmlns="k">{kind}</kind></documentManagement></properties>'


def xmp(properties: str) -> bytes:
    return f"\n<?xpacket begin=''?><x:xmpmeta><rdf:RDF>{properties}</rdf:RDF></x:xmpmeta><?xpacket end='w'?>".encode()


def word(header: str = "", label: str = "") -> bytes:
    document = docx.Document()
    document.add_paragraph("主軸を点検する。" + header + label)
    document.sections[0].header.paragraphs[0].text = header
    document.core_properties.keywords = label
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def watermarked() -> bytes:
    """A DOCX with a watermark, as Word draws it in a header."""
    target = io.BytesIO(word())
    with zipfile.ZipFile(target, "a") as package:
        package.writestr("word/header9.xml", '<hdr><p><r><pict><textpath string="社外秘"/></pict></r></p></hdr>')
    return target.getvalue()


def stamped() -> bytes:
    annotation = "<</Type/Annot/Subtype/Stamp/Rect[0 0 9 9]/Contents<FEFF{}>>>".format(
        "社外秘".encode("utf-16-be").hex()
    )
    page = page_showing(stream(b"BT /F 9 Tf 20 100 Td (Check the spindle.) Tj ET"))
    return page.replace(b"/Contents 4 0 R", b"/Annots[%s]/Contents 4 0 R" % annotation.encode())


def with_part(file: bytes, name: str, xml: str) -> bytes:
    target = io.BytesIO(file)
    with zipfile.ZipFile(target, "a") as package:
        package.writestr(name, xml)
    return target.getvalue()


def with_a_font_of_the_machine(mark: str) -> bytes:
    """A PDF with text of one character each, in a font that it does not bring along."""
    shown = "".join(f"1 0 0 1 {50 + 40 * n} 180 Tm <{ord(c):04x}> Tj " for n, c in enumerate(mark))
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</J 5 0 R"
        b"/F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
        stream(f"BT /J 12 Tf {shown} /F 9 Tf 1 0 0 1 20 100 Tm (Check the spindle.) Tj ET".encode()),
        b"<</Type/Font/Subtype/Type0/BaseFont/HeiseiMin-W3/Encoding/UniJIS-UCS2-H/DescendantFonts[6 0 R]>>",
        b"<</Type/Font/Subtype/CIDFontType0/BaseFont/HeiseiMin-W3/DW 1000/FontDescriptor 7 0 R"
        b"/CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)/Supplement 2>>>>",
        b"<</Type/FontDescriptor/FontName/HeiseiMin-W3/Flags 4/FontBBox[0 -200 1000 900]/ItalicAngle 0/Ascent 800"
        b"/Descent -200/CapHeight 700/StemV 80>>",
    )
