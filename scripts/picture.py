"""Draws docs/images/demo.svg from what the demo really prints: its result, without the lines of its progress.

The README opens with this picture. Run it again when the demo's result looks different.
"""

from __future__ import annotations

import io
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pipeline.demo import run_demo

TARGET = Path(__file__).resolve().parents[1] / "docs/images/demo.svg"
WIDTH = 100
LINES = 60


def result(printed: Text) -> Text:
    """The end of what was printed, at most LINES lines, less the line that is meant for programs."""
    lines = [line for line in printed.split("\n", allow_blank=True) if not line.plain.startswith("demo: {")]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    last = lines[-LINES:]
    begin = next((i for i, line in enumerate(last) if "suspicious accounts" in line.plain), 0)
    return Text("\n").join(last[begin:])


def main() -> int:
    """Run the demo, draw its end; returns the demo's exit code and draws nothing when that is not 0."""
    console = Console(record=True, width=WIDTH, force_terminal=True, color_system="truecolor", file=io.StringIO())
    # From a directory of its own, so that the paths in the picture are those that a reader sees.
    with tempfile.TemporaryDirectory() as directory, chdir(directory):
        code = run_demo(console, data_dir=Path("demo-data"), plain=True, seed=7)
    if code:
        print(console.export_text(), file=sys.stderr)
        return code
    picture = Console(record=True, width=WIDTH, force_terminal=True, color_system="truecolor", file=io.StringIO())
    picture.print(result(Text.from_ansi(console.export_text(styles=True))))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    picture.save_svg(str(TARGET), title="make demo")
    print(TARGET.relative_to(Path.cwd()) if TARGET.is_relative_to(Path.cwd()) else TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
