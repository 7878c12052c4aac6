#!/usr/bin/env bash
# Every check, cheapest first, none from a cache that another tree filled; `check.sh lint` stops before the tests. Stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin

step() {
  printf '\n== %s\n' "$*"
  "$@"
}

step "$bin/ruff" format --no-cache --check .
step "$bin/ruff" check --no-cache .
step "$bin/mypy"
step "$bin/sqlfluff" lint --nocolor --disable-progress-bar sql
[ "${1:-}" != lint ] || exit 0

step scripts/ci-packages.sh
# With Java 17 and Maven the suite runs over Apache Kafka too. In CI their absence is a failure, elsewhere the tests say why they skip.
if command -v java >/dev/null && command -v mvn >/dev/null; then
  step scripts/fetch-kafka.sh
elif [ "${CI:-}" = true ]; then
  echo "error: no Java or no Maven, and CI runs over Apache Kafka → scripts/ci-packages.sh" >&2
  exit 1
fi

# Alone on the machine, as ratios within the run.
step "$bin/python" -m benchmarks.quick

# Two for the cores, and one for what starts processes and brokers: that runs one at a time (tests/conftest.py) and mostly waits.
step "$bin/python" -m pytest --quiet -n 3 --dist loadgroup --durations 40
