"""Faults of what is masked, and of which bytes are read as which text. See `planted`."""

from faults.fault import Fault, unit

_PERSONAL = "clients/ingest/personal"
CONTEXT, NAMES, PERSONS = f"{_PERSONAL}/context.py", f"{_PERSONAL}/names.py", f"{_PERSONAL}/persons.py"
ENCODING = "clients/ingest/encoding.py"
LAYOUTS, ENCODINGS = unit("personal_layouts"), unit("ingest_encoding")

MASKING: tuple[Fault, ...] = (
    Fault(
        "operators told among readings",
        "clients/ingest/logs/readings.py",
        "if not is_of_persons(tag.column.name)",
        "if tag.column.filled",
        (unit("ingest_logs_forms"),),
    ),
    Fault("merged cells hide a heading", CONTEXT, "if not first or len(first) == cells:", "if True:", (LAYOUTS,)),
    Fault(
        "one cell over all columns ends a table",
        CONTEXT,
        "<= _LABEL_ALONE:\n                interrupted",
        "<= 0:\n                interrupted",
        (LAYOUTS,),
    ),
    Fault(
        "labels set with blanks pass by",
        CONTEXT,
        "_SPREAD_LABEL.sub(_set_together, folded(text))",
        "folded(text)",
        (LAYOUTS,),
    ),
    Fault(
        "rosters keep their names",
        NAMES,
        "    yield from (both.span(part) for both in _FAMILY_AND_GIVEN.finditer(text) for part in (1, 2))\n",
        "",
        (LAYOUTS,),
    ),
    Fault("stamps keep their names", NAMES, "(_LABEL, _BRACKETED, _STAMPED)", "(_LABEL, _BRACKETED)", (LAYOUTS,)),
    Fault("a name takes the next line's word", PERSONS, "(honoured or not below)", "True", (LAYOUTS,)),
    Fault("original point is a person", PERSONS, "    labelled &= not (", "    labelled |= False and (", (LAYOUTS,)),
    Fault(
        "addresses tried too late",
        f"{_PERSONAL}/addresses.py",
        "_SIGN_WITHIN = 18",
        "_SIGN_WITHIN = 9",
        (unit("personal_places"),),
    ),
    Fault(
        "the site's words in one piece only",
        f"{_PERSONAL}/own.py",
        "        yield from self._in_pieces(alike)\n",
        "",
        (unit("personal_own"),),
    ),
    Fault(
        "a wrong mode is quoted",
        f"{_PERSONAL}/settings.py",
        "if mode not in get_args(Mode)]",
        "if False]",
        (unit("personal_settings"),),
    ),
    Fault("Chinese is Japanese", ENCODING, " and rare > _RARE_SHARE * len(weights)", " and False", (ENCODINGS,)),
    Fault(
        "a log that is being written is refused",
        ENCODING,
        ".decode(data, final=False)",
        ".decode(data, final=True)",
        (ENCODINGS,),
    ),
    Fault("reserved room is refused", ENCODING, 'data = data.rstrip(b"\\0")', "data = bytes(data)", (ENCODINGS,)),
    Fault(
        "names of Windows in EUC-JP", ENCODING, '_WINDOWS if name == "euc-jp" else "strict"', '"strict"', (ENCODINGS,)
    ),
    Fault(
        "any NULs are UTF-16", ENCODING, 'if _score(text + "\\n") >= _LEAST:', "if True:", (unit("ingest_logs_forms"),)
    ),
    Fault(
        "two files under one name",
        "clients/ingest/archive.py",
        "if often[_name(entry)] > 1:",
        "if False:",
        (unit("ingest_archive"),),
    ),
)
