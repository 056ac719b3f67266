"""Every error that a person may see: in both languages, with an exit code of the contract, and whole after pickling."""

import ast
import importlib
import inspect
import pickle
import pkgutil
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import aggregator
import clients
import federation
from clients.registry_refused import RegistryRefused
from federation.errors import ConfigInvalid, Fault, RengoError, SignatureInvalid, UnknownKey, japanese
from federation.secagg.messages import Refused
from federation.secagg.refusals import Refusal
from federation.secagg.server import TooFewMembers
from federation.sweep import Ended, SweepFailed
from federation.wire import Malformed

EXIT_CODES = {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 70}

for package in (federation, clients, aggregator):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


def kinds(root: type[RengoError] = RengoError) -> Iterator[type[RengoError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__.partition(".")[0] in ("federation", "clients", "aggregator"):
            yield from kinds(kind)


KINDS = sorted(set(kinds()), key=lambda kind: kind.__name__)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])


def english(kind: type[RengoError]) -> str:
    return inspect.cleandoc(vars(kind).get("__doc__") or "")


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def made(kind: type[RengoError]) -> RengoError:
    """One of its kind, every fact of which is its own name."""
    if kind is ConfigInvalid:
        return ConfigInvalid([UnknownKey("lora.rank", "lora.r"), Fault(where="x", detail="y")])
    if kind is UnknownKey:
        return UnknownKey("lora.rank", "lora.r")
    if kind is RegistryRefused:
        return RegistryRefused(Refused("ask", "malformed", "<reason>"))
    if kind is SweepFailed:
        return SweepFailed([Ended(1, ("seed=1",), Path("0"), UnknownKey("lora.rank", "lora.r"))])
    return kind(**{name: f"<{name}>" for name in fields(english(kind)) | fields(kind.ja)})


def test_the_tree_is_whole() -> None:
    assert {"Refusal", "Malformed", "JournalDamaged", "StoreDamaged", "SweepFailed", "NotFinite"} <= {
        kind.__name__ for kind in KINDS
    }
    assert len(KINDS) > 40


def test_codes_are_unique() -> None:
    codes = [made(kind).code for kind in KINDS]
    assert len(set(codes)) == len(codes)


def test_a_code_is_the_name_in_kebab_case() -> None:
    assert made(ConfigInvalid).code == "config-invalid"


def calls() -> Iterator[tuple[str, type[RengoError], set[str]]]:
    """Every place that makes an error from its facts: where, which, and the names of the facts."""
    by_name = {kind.__name__: kind for kind in KINDS if kind.__init__ is RengoError.__init__}
    for package in (federation, clients, aggregator):
        for file in sorted(Path(package.__path__[0]).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in by_name:
                    names = {keyword.arg for keyword in node.keywords if keyword.arg}
                    if len(names) == len(node.keywords):  # no **facts, which only a run can tell
                        yield f"{file.name}:{node.lineno}", by_name[node.func.id], names


def test_every_error_is_made_with_the_facts_of_both_languages() -> None:
    """A missing one would be a KeyError, and a Japanese one only on a Japanese screen."""
    found = list(calls())
    assert len(found) > 60
    wrong = {where: kind.__name__ for where, kind, names in found if names != fields(english(kind)) | fields(kind.ja)}
    assert wrong == {}


@each_kind
class TestEach:
    def test_has_a_message_of_its_own_in_both_languages(self, kind: type[RengoError]) -> None:
        assert english(kind)
        assert "ja" in vars(kind)

    def test_is_in_english_and_in_japanese(self, kind: type[RengoError]) -> None:
        assert english(kind).isascii()
        if fields(kind.ja) != {"where", "detail"} and kind.ja != "`{where}`: {detail_ja}":  # a place and a reason
            assert any("\u3040" <= letter <= "\u9fff" for letter in kind.ja)

    def test_has_the_same_facts_in_both_languages(self, kind: type[RengoError]) -> None:
        """`detail_ja` stands in for `detail`."""
        assert {name.removesuffix("_ja") for name in fields(kind.ja)} == fields(english(kind))

    def test_shows_every_fact_and_no_empty_brace(self, kind: type[RengoError]) -> None:
        error = made(kind)
        for text in (error.text("en"), error.text("ja"), str(error)):
            assert text
            assert not set(text) & set("{}")

    def test_names_the_same_commands_in_both_languages(self, kind: type[RengoError]) -> None:
        command = re.compile(r"`(rengo (?:member|coordinator|root) [a-z]+)")
        assert set(command.findall(" ".join(english(kind).split()))) == set(command.findall(kind.ja))

    def test_has_an_exit_code_of_the_contract(self, kind: type[RengoError]) -> None:
        assert made(kind).exit_code in EXIT_CODES
        assert kind is RengoError or kind.exit_code != 70 or kind is SweepFailed

    def test_survives_pickling(self, kind: type[RengoError]) -> None:
        error = made(kind)
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(again) is kind
        for language in ("en", "ja"):
            assert again.text(language) == error.text(language)
        assert (str(again), again.code, again.exit_code) == (str(error), error.code, error.exit_code)


OVER_THE_WIRE = [
    kind for kind in KINDS if issubclass(kind, Refusal) or kind in (Malformed, SignatureInvalid, TooFewMembers)
]


@pytest.mark.parametrize("kind", OVER_THE_WIRE, ids=lambda kind: kind.__name__)
def test_what_comes_over_the_wire_in_english_is_told_in_japanese(kind: type[RengoError]) -> None:
    error = made(kind)
    told = japanese(error.code, str(error))
    assert told == error.text("ja").replace("_ja>", ">")  # a fact that is words is in English in the message


def test_what_is_no_message_of_an_error_stays_as_it_came() -> None:
    closed = japanese("closed", "Round 1, attempt 2 is closed for this member: x\x1b[2J.")
    assert closed == "学習回 1・試行 2 は、この拠点では終了しています: x\\x1b[2J。"
    for code, text in (("closed", "Round 1 is open."), ("unheard-of", "Boo."), ("closed", "Round 1" * 1000)):
        assert japanese(code, text) == text
