#!/usr/bin/env bash
# Starts an exchange on a free port with a fresh data folder, runs k6 scripts against it, keeps the
# summaries, and ends the exchange.
#
#   load-test/run.sh                     every script
#   load-test/run.sh orders reads        these
#   RATE=1000 DURATION=60s load-test/run.sh orders
#   NOVATE_URL=http://host:8000 load-test/run.sh      against an exchange that runs already
#
# Summaries: build/load-test/<script>.json. Exit code: 0 if every threshold was met.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=${BIN:-.venv/bin}
out=build/load-test
scripts=("$@")
[ ${#scripts[@]} -gt 0 ] || scripts=(orders reads stream)
mkdir -p "$out"

server=""
folder=""
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if [ -n "$folder" ]; then rm -rf "$folder"; fi
}
trap finish EXIT

if [ -z "${NOVATE_URL:-}" ]; then
    folder=$(mktemp -d "$out/data.XXXXXX")
    port=$("$bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    export NOVATE_URL=http://127.0.0.1:$port
    "$bin/novate" serve --port "$port" --data-dir "$folder/data" --log-format json \
        >"$out/server.log" 2>&1 &
    server=$!
    for _ in $(seq 200); do
        kill -0 "$server" 2>/dev/null || { tail -n 20 "$out/server.log" >&2; exit 1; }
        curl --silent --fail --output /dev/null "$NOVATE_URL/readyz" && break
        sleep 0.1
    done
    curl --silent --fail --output /dev/null "$NOVATE_URL/readyz"
fi

result=0
for script in "${scripts[@]}"; do
    echo "== $script on $NOVATE_URL"
    SUMMARY=$out/$script.json "$bin/k6" run --quiet --no-usage-report "load-test/$script.js" ||
        result=1
done
exit $result
