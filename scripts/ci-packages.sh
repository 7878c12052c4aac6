#!/usr/bin/env bash
# In CI, as root on Debian: install what the whole suite needs besides Python (Java 17, Maven, OpenSSL, Alertmanager, Postgres). Elsewhere: does nothing.
set -euo pipefail
[ "${CI:-}" = true ] || exit 0

missing=()
command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
command -v openssl >/dev/null || missing+=(openssl)
command -v prometheus-alertmanager >/dev/null || missing+=(prometheus-alertmanager)
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "error: CI without ${missing[*]} → install them in the image" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
