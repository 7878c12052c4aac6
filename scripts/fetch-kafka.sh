#!/usr/bin/env bash
# Put Apache Kafka's jars into .cache/kafka/libs, for the tests over a real broker. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."
libs=.cache/kafka/libs
wanted="$(cksum <infra/kafka/pom.xml)"
[ "$(cat "$libs/.complete" 2>/dev/null)" != "$wanted" ] || exit 0

command -v mvn >/dev/null || {
  echo "error: Maven is missing → install it, or run the tests without Apache Kafka" >&2
  exit 1
}
rm -rf "$libs"
mkdir -p "$libs"
# Maven splits its options at spaces, so the directory is named relative to the POM.
(cd infra/kafka && mvn --batch-mode --quiet dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=../../"$libs")
echo "$wanted" >"$libs/.complete"
