"""The command ``stillwatch``: its entry point and how errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path

import typer

from pipeline.cli.app import app
from pipeline.errors import StillwatchError, UsageError

__all__ = ["app", "main"]

EXIT_IO = 74
EXIT_INTERNAL = 70

# Polars' allocator (jemalloc) gives memory that was freed back to the system within half a second, and the next batch
# asks for it again: a tenth of decoding was spent on pages. Read when Polars is imported, which commands do later.
_ALLOCATOR = "dirty_decay_ms:5000"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    os.environ.setdefault("_RJEM_MALLOC_CONF", _ALLOCATOR)
    words = sys.argv[1:] if arguments is None else arguments
    sys.exit(run(words, debug="--debug" in words))


def run(words: list[str], *, debug: bool) -> int:
    """Run one command; errors are told on standard error."""
    try:
        result = app(words, prog_name="stillwatch", standalone_mode=False)
        sys.stdout.flush()
    except StillwatchError as error:
        if debug:
            traceback.print_exc()
        _say(f"error: {error}")
        return error.exit_code
    except typer.TyperException as error:
        _say(_wrong_words(error))
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        result = 0  # Typer met the BrokenPipeError before us, and has made standard output quiet
    except BrokenPipeError:
        # The reader (head, less) left. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        result = 0
    except OSError as error:
        # The machine's answer, not our mistake: no room, no right, no such place.
        if debug:
            traceback.print_exc()
        place = f"{error.filename}: " if error.filename else ""
        _say(f"error: {place}{error.strerror or error} → mend that, or name another place; --debug shows more")
        return EXIT_IO
    except BaseException as error:  # noqa: BLE001 - a Polars panic is a BaseException; the report has all of it
        if debug:
            traceback.print_exc()
        _say(f"error: {type(error).__name__}: a mistake in stillwatch → report it with {_report()}, or see --debug")
        result = EXIT_INTERNAL
    return result if isinstance(result, int) else 0


def _wrong_words(error: typer.TyperException) -> str:
    """What is wrong with the command's words, in one line; the help itself where a group was named alone."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    command = context.command_path if context is not None else "stillwatch"
    if context is not None and message == context.get_help():
        return message
    return f"error: {message.rstrip('.')} → {command} --help"


def _report() -> Path:
    """Write the traceback to a private file."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="stillwatch-error-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(traceback.format_exc())
        return Path(file.name)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
