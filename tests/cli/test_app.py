"""The door of the command line: every way to fail is one sentence and an exit status, on the right stream."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from omnitts import __version__
from omnitts.cli import app as door
from omnitts.cli.app import run
from omnitts.errors import BookError, FfmpegError, OmnittsError

ROOT = Path(__file__).parent.parent.parent
COMMANDS = ("narrate", "plan", "speak", "check", "job", "voices", "models", "doctor")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNITTS_HOME", str(tmp_path / "home"))


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Every command now ends in ``error``."""

    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(door, "app", fail)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"omnitts {__version__}\n"


def test_no_command_is_answered_with_the_help_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 3
    told = capsys.readouterr()
    assert "Usage: omnitts" in told.out + told.err
    assert "error:" not in told.err


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"Usage: omnitts {command}" in out
    if command not in ("job", "voices", "models"):
        assert out.count(f"omnitts {command}") > 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_can_be_shown(shell: str) -> None:
    environment = {**os.environ, "_OMNITTS_COMPLETE": f"source_{shell}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "from omnitts.cli.app import main; main()"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "_OMNITTS_COMPLETE" in done.stdout


@pytest.mark.parametrize("line", ["nope", "narrate", "narrate a b", "plan a --nope", "narrate a --takes 0"])
def test_wrong_usage_is_status_3(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 3
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "see omnitts" in told


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (BookError("is empty", where="a.txt", hint="write it"), 4, "error: a.txt: is empty\n  next: write it"),
        (FfmpegError("ffmpeg was killed"), 8, "error: ffmpeg was killed\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 7, "free some disk space"),
        (OSError(errno.EROFS, "Read-only file system", "/x/y"), 7, "error: /x/y: Read-only file system"),
        (ZeroDivisionError("division by zero"), 1, "unexpected ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), 130, "error: interrupted\n  next: the same command goes on"),
        (SystemExit(143), 143, "error: terminated\n  next: the same command goes on"),
    ],
)  # fmt: skip
def test_errors_become_a_sentence_and_a_status(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    assert run(["narrate"]) == status
    told = capsys.readouterr()
    assert said in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_with_json_an_error_is_an_event(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, BookError("is empty", where="a.txt", hint="write something"))
    assert run(["plan", "--json"]) == 4
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "event": "error", "kind": "BookError", "what": "is empty", "where": "a.txt", "hint": "write something",
        "exit_code": 4,
    }  # fmt: skip
    assert told.err == ""
    failing(monkeypatch, SystemExit(143))
    assert run(["plan", "--json"]) == 143
    assert json.loads(capsys.readouterr().out)["exit_code"] == 143


def test_debug_lets_the_trace_through(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, BookError("is empty"))
    with pytest.raises(OmnittsError):
        run(["plan", "--debug"])


# The real process -----------------------------------------------------------------------------------------------------

SLOW = """
import signal
import omnitts.pipeline.narrate as recipe
from omnitts.cli.app import main
from omnitts.engines import registry

recipe.open_engine = lambda name, _: registry.open_engine(
    name, registry.EngineOptions(extra={"delay_s": 0.3}, batch=1))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite that runs in the background has it ignored
main()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "OMNITTS_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}


@pytest.fixture
def long_book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(f"This is sentence number {n} of a book that goes on for a while." for n in range(40)))
    return path


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("signum", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_run_says_so_leaves_nothing_half_done_and_goes_on(
    signum: int, status: int, word: str, long_book: Path, environment: dict[str, str]
) -> None:
    out = long_book.with_name("out") / "book.wav"
    arguments = ["narrate", str(long_book), "--engine", "fake", "--no-check", "-o", str(out), "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["event"] == "judged":
                child.send_signal(signum)
                break
        events = [json.loads(line) for line in child.stdout]
        assert child.wait(timeout=20) == status
    assert (events[-1]["what"], events[-1]["exit_code"]) == (word, status)
    assert list(out.parent.iterdir()) == []
    home = Path(environment["OMNITTS_HOME"])
    assert list(home.rglob("*.part")) == []
    spoken = {path.name for path in home.rglob("*.flac")}
    assert spoken
    program = "from omnitts.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    [wave] = [json.loads(line) for line in done.stdout.splitlines() if '"speaking"' in line]
    assert wave["pieces"] <= 40 - len(spoken)
    assert out.exists()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX pipes")
def test_a_reader_that_goes_away_is_no_error(long_book: Path, environment: dict[str, str]) -> None:
    program = "import time; from omnitts.cli.app import main; time.sleep(0.5); main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "plan", str(long_book), "--json"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(timeout=20) == 141


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX file descriptors")
@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_is_no_crash(closed: int, long_book: Path, environment: dict[str, str]) -> None:
    program = "from omnitts.cli.app import main; main()"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}>&-', "sh", sys.executable, "-c", program, "plan", str(long_book), "--json"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == ""


def test_help_imports_nothing_heavy(environment: dict[str, str]) -> None:
    program = (
        "import sys; from omnitts.cli.app import run; run(['narrate', '--help'])\n"
        "heavy = {'torch', 'numpy', 'transformers', 'faster_whisper', 'av', 'lxml', 'nltk'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
