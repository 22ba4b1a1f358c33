#!/usr/bin/env bash
# Runs the README's first command for real and asks the demo through the Service's address until three Pods have answered.
set -euo pipefail
cd "$(dirname "$0")/.."
unset RUST_BACKTRACE

dir=$(mktemp -d)
cargo run --quiet -- dev --demo --data-dir "$dir/state" --listen 127.0.0.1:0 >"$dir/out" 2>"$dir/err" &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -rf "$dir"' EXIT

# The build is part of the command, so the wait is long; the process must stay alive meanwhile.
url=""
for _ in $(seq 2700); do
  url=$(sed -n 's/^  url *//p' "$dir/out")
  [ -n "$url" ] && break
  kill -0 "$pid" 2>/dev/null || { cat "$dir/out" "$dir/err"; echo "kapelle ended early"; exit 1; }
  sleep 1
done
[ -n "$url" ] || { cat "$dir/out" "$dir/err"; echo "no URL within 45 minutes"; exit 1; }

cat "$dir/out"
for _ in $(seq 12); do curl --silent --show-error --fail --max-time 10 "$url"; done | tee "$dir/answers"
pods=$(grep -o 'hello-[a-z0-9]*-[a-z0-9]*' "$dir/answers" | sort -u | wc -l)
[ "$pods" -eq 3 ] || { cat "$dir/err"; echo "answers from $pods Pods instead of 3"; exit 1; }

kill "$pid"
wait "$pid" || { echo "kapelle did not stop well"; exit 1; }
trap 'rm -rf "$dir"' EXIT
echo "3 Pods answered through $url, and the cluster stopped cleanly"
