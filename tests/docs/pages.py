"""The documentation as values: pages, their links, their commands."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a ``console`` block: the page, and its words."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def pages() -> dict[str, str]:
    """Every page by its path."""
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in found}


def console_lines(text: str) -> list[str]:
    """What is typed in a page's ``console`` blocks, continued lines joined."""
    lines = []
    for language, block in FENCE.findall(text):
        if language == "console":
            joined = block.replace("\\\n", " ")
            lines += [line[2:].strip() for line in joined.splitlines() if line.startswith("$ ")]
    return lines


def split_line(line: str) -> list[tuple[str, ...]]:
    """The commands of one shell line, without variables before them, redirections and comments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    skip = False
    for word in lexer:
        if word in {"|", "||", "&&", ";", "&"}:
            commands.append([])
        elif word in {">", ">>", "<"}:
            skip = True
        elif skip:
            skip = False
        elif commands[-1] or not re.match(r"[A-Z_]+=", word):
            commands[-1].append(word)
    return [tuple(command) for command in commands if command]


def commands() -> list[Command]:
    """Every command that the pages show."""
    return [
        Command(page, words)
        for page, text in pages().items()
        for line in console_lines(text)
        for words in split_line(line)
    ]


def story(text: str) -> list[tuple[str, ...] | tuple[Path, str]]:
    """What a reader of a page does, in order: commands, as words; files that he writes, as path and text.

    A block that begins with the comment of a path, and nothing else in that line, is such a file.
    """
    steps: list[tuple[str, ...] | tuple[Path, str]] = []
    for language, block in FENCE.findall(text):
        named = re.match(r"(?:#|--) ([\w./-]+\.(?:sql|yml|toml))\n", block)
        if named:
            steps.append((Path(named[1]), block))
        elif language == "console":
            steps += [words for line in console_lines(f"```console\n{block}```\n") for words in split_line(line)]
    return steps


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
