#!/usr/bin/env bash
# Holds a server in development mode, in a fresh folder and on a free port, to all 61 audits of the npm package graphql-http.
# What it needs is installed in that folder too, in the versions that .ci/audit/package-lock.json names.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --locked
program=$PWD/target/debug/orderpay
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
cp -r .ci/audit/. "$folder"
cd "$folder"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null

"$program" --listen 127.0.0.1:0 >out.txt 2>err.txt &
server=$!
for _ in $(seq 100); do grep -q '^listening on' out.txt && break; sleep 0.1; done
address=$(sed -n 's/^listening on //p' out.txt)
[ -n "$address" ] || { cat err.txt; exit 1; }

node audit.mjs "$address/graphql" "$("$program" token --kind user --sub ada)"
