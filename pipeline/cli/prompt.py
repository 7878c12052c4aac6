"""The interactive SQL prompt: history, completion, several lines until ``;``, and a few words of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, WordCompleter, merge_completers
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.output import Output
from pygments.lexers.sql import SqlLexer

from pipeline.cli.render import Format, render
from pipeline.cli.saved import saved_queries, saved_query
from pipeline.errors import StillwatchError

if TYPE_CHECKING:
    from pipeline.serve.ask import Asker

VIEWS: Final = "select table_name as view from information_schema.tables where table_type = 'VIEW' order by 1"
COLUMNS: Final = (
    "select column_name, data_type from information_schema.columns where table_name = $view order by ordinal_position"
)
NAMES: Final = (
    "select distinct c.table_name, c.column_name from information_schema.columns c"
    " join information_schema.tables t using (table_name) where t.table_type = 'VIEW'"
)
WORDS: Final = (
    "select from where group by order limit having join left using on as and or not in is null like between case when"
    " then else end with distinct count sum avg min max interval desc asc union all explain"
)
META: Final = (".views", ".schema", ".saved", ".help", ".quit")
HELP: Final = (
    "One SELECT, ended by ; or\n  .views          the views\n  .schema VIEW    its columns\n"
    "  .saved [NAME]   the saved queries, or run one\n  .quit           leave (so does Ctrl-D)\n"
)


def history_file() -> Path:
    """Where the history is kept, in the user's state directory; others cannot read it."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    directory = Path(base) / "stillwatch"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory / "sql_history"


def complete(text: str) -> bool:
    """Whether Enter sends what was typed: a word of the prompt's own, or SQL ended by ``;``."""
    stripped = text.strip()
    return not stripped or stripped.startswith(".") or stripped.endswith(";")


def interact(
    source: Asker,
    *,
    timeout_s: float,
    history: History | None = None,
    terminal: Input | None = None,
    screen: Output | None = None,
) -> None:
    """Ask and answer until ``.quit`` or Ctrl-D. After an error, or Ctrl-C in a query, the prompt comes again."""
    session: PromptSession[str] = PromptSession(
        history=history or FileHistory(str(history_file())),
        completer=completer(source, timeout_s),
        complete_while_typing=False,
        lexer=PygmentsLexer(SqlLexer),
        multiline=True,
        key_bindings=_keys(),
        prompt_continuation="       … ",
        input=terminal,
        output=screen,
    )
    while True:
        try:
            text = session.prompt("stillwatch> ").strip().rstrip(";").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text == ".quit":
            return
        if text:
            try:
                sys.stdout.write(respond(source, text, timeout_s))
            except StillwatchError as error:
                sys.stdout.write(f"error: {error}\n")
            except KeyboardInterrupt:
                sys.stdout.write("interrupted\n")
            sys.stdout.flush()


def respond(source: Asker, text: str, timeout_s: float) -> str:
    """The answer to one input, as text. Raises StillwatchError."""
    word, _, rest = text.partition(" ")
    params: dict[str, object] = {}
    sql = text
    if word == ".views":
        sql = VIEWS
    elif word == ".schema":
        sql, params = COLUMNS, {"view": rest.strip()}
    elif word == ".saved" and rest.strip():
        found = saved_query(rest.strip())
        sql, params = found.sql, dict(found.defaults)
    elif word == ".saved":
        return "".join(f"  {item.name:28} {item.question}\n" for item in saved_queries())
    elif word.startswith("."):
        return HELP
    answer = source.query(sql, params, max_rows=None, timeout_s=timeout_s)
    more = "(there are more)\n" if answer.truncated else ""
    return render(answer.table, Format.TABLE, width=_width()).decode() + more


def _width() -> int | None:
    return os.get_terminal_size().columns if sys.stdout.isatty() else None


def completer(source: Asker, timeout_s: float) -> Completer:
    """SQL word by word; the prompt's own words as a whole line, since a dot parts words in SQL."""
    found = source.query(NAMES, max_rows=10_000, timeout_s=timeout_s).table
    views, columns = (sorted({str(name) for name in found.column(n).to_pylist()}) for n in range(2))
    lines = [*META, *(f".schema {view}" for view in views), *(f".saved {item.name}" for item in saved_queries())]
    names = [*WORDS.split(), *sorted({*views, *columns})]
    return merge_completers([WordCompleter(lines, sentence=True), WordCompleter(names, ignore_case=True)])


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @Condition
    def ready() -> bool:
        from prompt_toolkit.application import get_app  # noqa: PLC0415 - the application of the moment

        return complete(get_app().current_buffer.text)

    @keys.add("enter", filter=ready)
    def _send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return keys
