#!/usr/bin/env bash
# Resolve requirements/*.txt for every Python from 3.11 on and every platform; versions stay where they fit, unless --upgrade
# is given. uv comes into a throw-away environment.
# The files name no index: pip takes each from the one it is set up with, and the hashes say that it is the same file.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip --disable-pip-version-check --quiet install uv

compile() {
  "$scratch/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" "$@"
}
upgrade=("$@")
extras=(--extra broker --extra ducklake --extra sigma --extra uvloop)
compile ${upgrade[@]+"${upgrade[@]}"} pyproject.toml "${extras[@]}" requirements/dev.in requirements/build.in --output-file requirements/dev.txt
# What an installation runs on: the same versions as were tested.
compile ${upgrade[@]+"${upgrade[@]}"} pyproject.toml --extra uvloop --constraint requirements/dev.txt --output-file requirements/run.txt
# What builds the wheel in the image.
compile ${upgrade[@]+"${upgrade[@]}"} requirements/build.in --constraint requirements/dev.txt --output-file requirements/build.txt
