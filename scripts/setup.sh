#!/usr/bin/env bash
# Make .venv from the pinned, hashed requirements and install the project into it, editable. May be run again.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: $("$python" --version 2>&1) is too old → install Python 3.11 or newer, or name one: make setup PYTHON=python3.12" >&2
  exit 1
}
# A moved checkout, or one whose Python went away: its environment cannot be mended.
if ! { grep -qF "$(pwd -P)/.venv" .venv/pyvenv.cfg && .venv/bin/python -m pip --version >/dev/null; } 2>/dev/null; then
  rm -rf .venv
  "$python" -m venv .venv || {
    echo "error: no virtual environment could be made → on Debian and Ubuntu: apt-get install python3-venv" >&2
    exit 1
  }
fi
pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install --require-hashes --requirement requirements/dev.txt
"${pip[@]}" install --no-deps --no-build-isolation --editable .
