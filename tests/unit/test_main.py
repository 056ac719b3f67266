"""The `rengo` program: nouns, languages, errors and exit codes, with real entry points and real processes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from federation import main

ROOT = Path(main.__file__).parent.parent

NOUN = """
from pathlib import Path

from aggregator.simulate.config import SimulateConfig
from federation import load_plan
from federation.errors import ConfigInvalid, Fault, ModelFolderInvalid, UnknownKey


def simulate(argv, language):
    load_plan.run(argv, SimulateConfig, "simulate", lambda config, output: print(config.lora.r, output))
    return 0


def echo(argv, language):
    print(language, *argv)
    return 9


def fail(argv, language):
    raise ModelFolderInvalid(path=Path("/モデル"), detail="empty")


def misconfigured(argv, language):
    raise ConfigInvalid([UnknownKey("lora.rank", "lora.r"), Fault(where="x", detail="y")])


def crash(argv, language):
    return 1 // 0


def interrupted(argv, language):
    raise KeyboardInterrupt


def chatty(argv, language):
    from aggregator.simulate.screen import Screen
    say = Screen().print if "rich" in argv else print
    for line in range(int(argv[0])):
        say(line)
    return 0
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on sys.path with an installed distribution whose nouns are above."""
    folder = tmp_path / "site"
    info = folder / "some_nouns-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-nouns\nVersion: 1.0\n", encoding="utf-8")
    nouns = ["echo", "fail", "misconfigured", "crash", "interrupted", "chatty"]
    lines = [f"{noun} = some_nouns:{noun}" for noun in nouns] + [
        "member = not_there:main",
        "mock = some_nouns:simulate",
    ]
    (info / "entry_points.txt").write_text("[rengo.commands]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "some_nouns.py").write_text(NOUN, encoding="utf-8")
    return folder


@pytest.fixture
def nouns(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "some_nouns", raising=False)
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


pytestmark = pytest.mark.usefixtures("nouns")


@pytest.mark.parametrize(
    ("environment", "argv", "printed"),
    [
        ({}, ["echo", "a", "-m"], "en a -m"),
        ({"LANG": "ja_JP.UTF-8"}, ["echo"], "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, ["echo"], "en"),
        ({"LC_MESSAGES": "ja_JP", "LANG": "en_US.UTF-8"}, ["echo"], "ja"),
        ({"LANG": "ja_JP.UTF-8"}, ["--lang", "en", "echo", "a"], "en a"),
        ({}, ["echo", "a", "--lang=ja", "b"], "ja a b"),
        ({}, ["--json", "echo", "echo", "--lang", "ja"], "ja --json echo"),
    ],
)
def test_a_noun_gets_its_arguments_and_the_language(
    environment: dict[str, str],
    argv: list[str],
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert main.main(argv) == 9
    assert capsys.readouterr() == (printed + "\n", "")


def test_help_lists_the_nouns_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--help"]) == 0
    english = capsys.readouterr().out
    assert main.main(["-h", "--lang", "ja"]) == 0
    japanese = capsys.readouterr().out

    assert "  member         a member's site: join" in english
    assert "  member         参加拠点: 参加" in japanese
    assert "  echo\n" in english


def test_help_of_nothing_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 2
    assert "rengo simulate experiment=quick" in capsys.readouterr().out


def test_every_help_line_stands_in_both_languages() -> None:
    assert all(line.keys() == {"en", "ja"} and all(line.values()) for line in main._HELP.values())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rengo ")


@pytest.mark.parametrize(
    ("argv", "exit_code", "message"),
    [
        (["ehco"], 2, "`rengo ehco` does not exist. Did you mean `rengo echo`? Try `rengo --help`. [unknown-noun]"),
        (["ehco", "--lang", "ja"], 2, "`rengo ehco` はありません。`rengo echo` のことですか。`rengo --help` をご覧"),
        (["zzz"], 2, "`rengo zzz` does not exist. Try `rengo --help`. [unknown-noun]"),
        (["--verbose"], 2, "`rengo --verbose` does not exist. Try `rengo --help`. [unknown-noun]"),
        (["echo", "--lang", "fr"], 2, "--lang: ja | en. Try `rengo --help`. [usage-error]"),
        (["echo", "--lang"], 2, "--lang: ja | en. Try `rengo --help`. [usage-error]"),
        (["fail"], 3, "The base model folder /モデル cannot be used: empty."),
    ],
)
def test_errors_are_told_with_their_code(
    argv: list[str], exit_code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(argv) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rengo: " + message)
    assert err.endswith("]\n")


def test_errors_as_json_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["fail", "--json", "--lang", "ja"]) == 3

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    told = json.loads(err)
    assert (told["error"], told["exit_code"]) == ("model-folder-invalid", 3)
    assert told["facts"] == {"path": "/モデル", "detail": "empty"}
    assert told["message"].startswith("基盤モデルのフォルダー /モデル は使えません")


def test_faults_as_json_keep_their_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--json", "misconfigured"]) == 2

    told = json.loads(capsys.readouterr().err)
    assert [fault["error"] for fault in told["faults"]] == ["unknown-key", "fault"]
    assert told["faults"][0]["facts"]["where"] == "lora.rank"


def test_a_bug_prints_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["crash"]) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_interruption_is_told_to_the_shell() -> None:
    assert main.main(["interrupted"]) == 130


@pytest.mark.parametrize("argv", [["100000"], ["10"], ["100000", "rich"], ["10", "rich"]])
def test_a_reader_who_goes_away_is_left_in_silence(argv: list[str], site: Path) -> None:
    """`rengo … | head`: whether lines are printed at once or at the end."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "federation.main", "chatty", *argv],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(site)},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("argv", "exit_code"),
    [
        (["simulate", "--cfg", "job", "lora.r=4"], 0),
        (["simulate", "--help"], 0),
        (["simulate", "lora.rank=4"], 2),
        (["simulate", "model=llm_jp"], 2),
    ],
)
def test_what_starts_nothing_does_not_import_torch(argv: list[str], exit_code: int) -> None:
    """It takes four seconds."""
    script = f"import sys; from federation.main import main; print(main({argv}), *sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)

    last = done.stdout.splitlines()[-1].split()
    assert last[0] == str(exit_code), done.stderr
    assert not {"torch", "transformers", "matplotlib"} & set(last)


def test_help_imports_no_noun_and_nothing_heavy() -> None:
    script = "import sys; from federation.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert not {"torch", "hydra", "numpy", "aggregator", "clients"} & set(done.stdout.split())


def test_an_installed_rengo_runs_beside_a_foreign_conf(site: Path, tmp_path: Path) -> None:
    for package in ("federation", "conf"):
        shutil.copytree(ROOT / package, site / package)
    (site / "aggregator" / "simulate").mkdir(parents=True)
    shutil.copy(ROOT / "aggregator" / "simulate" / "config.py", site / "aggregator" / "simulate")
    workspace = tmp_path / "作業"
    (workspace / "conf").mkdir(parents=True)
    (workspace / "conf" / "__init__.py").touch()
    (workspace / "conf" / "simulate.yaml").write_text("theirs: 1\n", encoding="utf-8")

    def rengo(*argv: str) -> subprocess.CompletedProcess[str]:
        # `-m` puts the working directory first on sys.path: the harder case.
        return subprocess.run(
            [sys.executable, "-m", "federation.main", *argv],
            cwd=workspace,
            env={**os.environ, "PYTHONPATH": str(site), "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )

    run = rengo("mock", "lora.r=4")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(f"4 {workspace}/outputs/demo-")
    refused = rengo("mock", "+lora.rank=4", "--lang", "ja")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "`lora.rank` という設定はありません。`lora.r` のことですか。 [config-invalid]" in refused.stderr
