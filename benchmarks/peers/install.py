"""Contenders' own environments below `.cache/peers`: Python's by pip, Java's by Maven, none of them the product's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PLACE: Final = HERE.parent.parent / ".cache" / "peers"
# What Flink and Kafka Streams say their processes need on Java 17; memory as on a small machine.
JAVA: Final = (
    "-Xmx1g",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.time=ALL-UNNAMED",
)


class NotInstalledError(Exception):
    """A contender that cannot be had here; the others go on."""


def contenders() -> list[str]:
    """All that have a directory here."""
    return sorted(path.name for path in HERE.iterdir() if (path / "requirements.txt").is_file() or _pom(path).is_file())


def command(name: str) -> list[str]:
    """The words that start it, once it is installed.

    Raises:
        NotInstalledError: pip or Maven did not get it.
    """
    home, place = HERE / name, PLACE / name
    recipe = "".join(path.read_text(encoding="utf-8") for path in sorted(home.rglob("*")) if _of_recipe(path))
    stamp = place / "recipe"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != recipe:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _java(home, place) if _pom(home).is_file() else _python(home, place)
        stamp.write_text(recipe, encoding="utf-8")
    if _pom(home).is_file():
        return ["java", *JAVA, "-cp", f"{place / 'classes'}:{place / 'libs'}/*", "Peer"]
    return [str(place / "bin" / "python"), str(home / "peer.py")]


def _pom(home: Path) -> Path:
    return home / "pom.xml"


def _of_recipe(path: Path) -> bool:
    return path.name in {"requirements.txt", "pom.xml"} or path.suffix == ".java"


def _python(home: Path, place: Path) -> None:
    _run([sys.executable, "-m", "venv", str(place)])
    _run([str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(home / "requirements.txt")])


def _java(home: Path, place: Path) -> None:
    if shutil.which("mvn") is None:
        raise NotInstalledError("no Maven here")
    copied = Path(shutil.copytree(home, place / "source"))
    # Maven splits options at spaces, so the directory is named relative to the POM.
    words = ["-DincludeScope=runtime", "-DoutputDirectory=../libs"]
    _run(["mvn", "--batch-mode", "--quiet", "dependency:copy-dependencies", *words], copied)
    _run(["javac", "-d", str(place / "classes"), "-cp", f"{place / 'libs'}/*", str(copied / "Peer.java")])


def _run(words: list[str], where: Path | None = None) -> None:
    done = subprocess.run(words, cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalledError(f"{words[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
