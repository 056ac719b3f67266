"""Files are read by a process of its own: what breaks it costs one file, and the folder goes on."""

import os
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clients.ingest import SetAside, answers, pipe, read_documents
from clients.ingest.confinement import Limits
from clients.ingest.content import Content, Unusable
from clients.ingest.parser import Parser, ParserNotStarted
from clients.ingest.pipe import BadAnswer, Frame

SMALL = Limits(seconds=1, patience=60, memory=2**28, text=2**20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a good document before and after what a test puts in."""
    (tmp_path / "a.txt").write_text("前の文書", encoding="utf-8")
    (tmp_path / "z.html").write_text("<p>後の文書", encoding="utf-8")
    return tmp_path


@pytest.fixture
def small() -> Iterator[Parser]:
    with Parser(SMALL) as parser:
        yield parser


def pdf_of(*objects: bytes) -> bytes:
    """A PDF of these objects, the first of them its catalogue; without a table of places, which readers rebuild."""
    numbered = [b"%d 0 obj\n%s\nendobj\n" % (number, each) for number, each in enumerate(objects, 1)]
    return b"%PDF-1.7\n" + b"".join(numbered) + b"trailer\n<</Root 1 0 R>>\n%%EOF\n"


def stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<<%s/Length %d>>\nstream\n%s\nendstream" % (more, len(data), data)


def page_showing(*objects: bytes) -> bytes:
    """A PDF of one page whose contents are object 4."""
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>"
        b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>",
        *objects,
    )


def forms_within_forms(levels: int) -> bytes:
    """Each form shows the next one ten times: a page of 10^levels pieces in a few hundred bytes."""
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 200 200]/Resources<</XObject<</X %d 0 R>>>>"
    forms = [stream(b"/X Do " * 10, form % (6 + level)) for level in range(levels)]
    return page_showing(stream(b"/X Do " * 10), *forms, stream(b"BT /F 9 Tf (x) Tj ET", form % 5))


def reasons(folder: Path, parser: Parser) -> dict[str, SetAside]:
    """Why which files were set aside; the good documents were read, or it fails."""
    reading = read_documents(folder, parser)
    assert [document.name for document in reading.documents] == ["a.txt", "z.html"]
    assert all(each.reason_ja != each.reason for each in reading.set_aside)
    return {each.name: each for each in reading.set_aside}


def test_a_small_pdf_that_computes_for_ever(folder: Path) -> None:
    (folder / "forms.pdf").write_bytes(forms_within_forms(7))
    with Parser(replace(SMALL, memory=2**32)) as parser:
        found = reasons(folder, parser)
    assert found["forms.pdf"].reason == "takes more than 1 s of computing"


def test_a_small_pdf_that_needs_more_than_the_memory(folder: Path, small: Parser) -> None:
    bomb = zlib.compress(zlib.compress(b"BT /F 9 Tf (x) Tj ET\n" * 2**22))
    data = page_showing(stream(bomb, b"/Filter[/FlateDecode/FlateDecode]"))
    assert len(data) < 10_000
    (folder / "bomb.pdf").write_bytes(data)
    (folder / "bomb2.pdf").write_bytes(data + b"\n")
    found = reasons(folder, small)
    crashed = "its parser crashed (SIGABRT), or needs more than 256 MiB of memory"
    assert {name: aside.reason for name, aside in found.items()} == {"bomb.pdf": crashed, "bomb2.pdf": crashed}


def test_a_text_that_needs_more_than_the_memory_is_told_as_such(folder: Path, small: Parser) -> None:
    (folder / "long.csv").write_bytes(b"1,2\n" * 2**22)
    assert reasons(folder, small)["long.csv"].reason == "needs more than 256 MiB of memory"


def test_a_text_that_is_too_long(folder: Path, small: Parser) -> None:
    (folder / "long.txt").write_bytes(b"x" * (SMALL.text + 1))
    assert reasons(folder, small)["long.txt"].reason == "its text has more than 1 MiB"


def test_a_process_that_was_killed_is_replaced_and_the_file_read_again(folder: Path, small: Parser) -> None:
    first = read_documents(folder, small)
    assert small._process is not None
    killed = small._process
    os.kill(killed.pid, signal.SIGKILL)
    assert read_documents(folder, small) == first
    assert small._process is not killed


def test_a_process_that_hangs_is_replaced(folder: Path) -> None:
    with Parser(replace(SMALL, patience=1)) as parser:
        read_documents(folder, parser)
        assert parser._process is not None
        os.kill(parser._process.pid, signal.SIGSTOP)
        with (folder / "a.txt").open("rb") as file:
            name, result = parser.parts(file.fileno(), "a.txt")[0]
            assert isinstance(result, Unusable)
            assert (name, result.reason) == ("", "not read within 1 s")
            assert isinstance(parser.parts(file.fileno(), "a.txt")[0].result, Content)


def test_the_process_is_given_no_environment_and_ends_with_the_block(folder: Path) -> None:
    with Parser() as parser:
        read_documents(folder, parser)
        process = parser._process
        assert process is not None
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().rstrip(b"\0").split(b"\0")
        assert {line.partition(b"=")[0] for line in environment} == {b"PYTHONPATH", b"LANG"}
        assert sorted(os.listdir(f"/proc/{process.pid}/fd")) == ["0", "1", "2", "3"]
    assert process.returncode == -signal.SIGKILL


def test_a_process_that_does_not_start_is_no_fault_of_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ParserNotStarted, match="it ended at once") as caught:
        read_documents(folder)
    assert caught.value.exit_code == 8


TRIES = """
import os, socket, sys
from clients.ingest.confinement import Limits, confine
print(*confine(Limits()))
def tried(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        print(error.strerror)
    else:
        print("permitted")
tried(open, sys.argv[1])
tried(open, sys.argv[2], "w")
tried(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
tried(socket.socket, socket.AF_UNIX)
tried(os.execv, "/bin/true", ["true"])
import json, wave
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means")
def test_what_has_taken_over_a_parser_opens_no_socket_and_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("x")
    command = [sys.executable, "-c", TRIES, str(secret), str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    walls, *tried = done.stdout.splitlines()
    if walls != "landlock seccomp":
        pytest.skip(f"this kernel has only: {walls}")
    assert tried == [*2 * ["Permission denied"], *2 * ["Operation not permitted"], "Permission denied"]


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"facts": {"kind": "text", "encoding": "", "sure": 1.0}},
        {"facts": {"kind": "text", "encoding": "", "sure": 1.0}, "left_out": [["1", "a", "b"]], "marks": []},
        {"facts": {"kind": "text", "encoding": "", "sure": 1.0}, "left_out": [], "marks": ["秘密"]},
        {"facts": {"kind": "text"}, "left_out": [], "marks": []},
        {"facts": {"kind": "text", "encoding": "", "sure": "1"}, "left_out": [], "marks": []},
        {"facts": {"kind": "text", "encoding": "", "sure": float("nan")}, "left_out": [], "marks": []},
        {"facts": {"kind": 1, "encoding": "", "sure": 1.0}, "left_out": [], "marks": []},
        {"facts": []},
        {"reason": 1, "reason_ja": "x", "left_out": []},
        {"reason": "x", "reason_ja": "x"},
        {"reason": "x", "reason_ja": "x", "left_out": [["1", "x", "x"]]},
        {"reason": "x"},
    ],
)
def test_an_answer_that_no_worker_gives_is_refused(head: dict[str, object]) -> None:
    with pytest.raises(BadAnswer):
        answers.result(Frame(head))


def test_a_reason_cannot_move_the_cursor() -> None:
    result = answers.result(Frame({"reason": "a\x1b[2J\nb", "reason_ja": "x" * 10_000, "left_out": []}))
    assert isinstance(result, Unusable)
    assert (result.reason, len(result.reason_ja)) == ("a\\x1b[2J\\nb", 4_000)


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        (struct.pack(">II", pipe.LARGEST_HEAD + 1, 0), BadAnswer),
        (struct.pack(">II", 2, 1_001), BadAnswer),
        (struct.pack(">II", 2, 0) + b"[]", BadAnswer),
        (struct.pack(">II", 2, 1) + b"{}\xff", BadAnswer),
        (struct.pack(">II", 60_000, 0) + b"[" * 60_000, BadAnswer),
        (struct.pack(">II", 2, 3) + b"{}x", EOFError),
        (b"", EOFError),
    ],
)
def test_bytes_that_are_no_frame_are_refused(sent: bytes, refusal: type[Exception]) -> None:
    here, there = socket.socketpair()
    with here:
        with there:
            there.sendall(sent)
        with pytest.raises(refusal):
            pipe.receive(here, 1_000)


def test_bytes_that_drip_do_not_prolong_the_wait() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"\0\0")
        with pytest.raises(TimeoutError):
            pipe.receive(here, 1_000, seconds=0.05)


def test_a_frame_comes_as_it_was_sent_but_for_lone_surrogates() -> None:
    here, there = socket.socketpair()
    with here, there:
        pipe.send(there, Frame({"a": ["①", 1.5]}, "文書\ud800\0"))
        assert pipe.receive(here, 100) == Frame({"a": ["①", 1.5]}, "文書?\0")
