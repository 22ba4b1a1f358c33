#!/usr/bin/env bash
# Runs the programs of docs/grpc.md against a cluster of their own: docs/grpc/check.sh [python|go|typescript]…
# Each needs its language (Python 3.10, Go 1.26, Node 20) and fetches the rest from that language's package registry. What they
# need is kept in target/grpc. KAPELLE names the binary, target/debug/kapelle without it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/grpc
kapelle=${KAPELLE:-$root/target/debug/kapelle}
module=$root/wasm-samples/prebuilt/batch.wasm
mkdir -p "$work"

python() {
  [ -d "$work/python" ] || python3 -m venv "$work/python"
  "$work/python/bin/pip" install -q -r "$here/python/requirements.txt"
  mkdir -p "$work/gen"
  # shellcheck disable=SC2046 # No path there has a blank.
  "$work/python/bin/python" -m grpc_tools.protoc -I "$root/proto" --python_out="$work/gen" --grpc_python_out="$work/gen" \
    $(cd "$root/proto" && find kapelle -name '*.proto')
  PYTHONPATH="$work/gen" "$work/python/bin/python" "$here/python/tour.py" "$@"
}

go() {
  cp -r "$here/go" "$work/"
  cd "$work/go"
  npx --yes @bufbuild/buf generate "$root/proto"
  command go run . "$@"
}

typescript() {
  cp -r "$here/typescript" "$work/"
  cd "$work/typescript"
  npm install --silent
  npx buf generate "$root/proto"
  npm run --silent check
  npm run --silent tour "$@"
}

directory=$(mktemp -d)
"$kapelle" dev --data-dir "$directory" >"$work/dev.log" 2>&1 &
cluster=$!
trap 'kill $cluster; wait $cluster || true; rm -rf "$directory"' EXIT
for _ in $(seq 100); do
  grep -q '^ready' "$work/dev.log" && break
  kill -0 $cluster || break
  sleep 0.1
done
grep -q '^ready' "$work/dev.log" || { cat "$work/dev.log" >&2; exit 1; }

[ $# -gt 0 ] || set -- python go typescript
for language in "$@"; do
  case $language in
  python | go | typescript) printf '== %s\n' "$language" ;;
  *) echo "no program in $language here; there are python, go and typescript" >&2 && exit 1 ;;
  esac
  "$language" "$directory/kubeconfig" "$module" | tee "$work/$language.txt"
  # States in between may be seen or not.
  for line in '^pushed: sha256$' '^applied: (CREATED|Created)$' ': Succeeded$' '^168 primes below 1000$' "^listed: tour-$language\$" \
    '^refused: .*pods "nobody" not found$' '^  field spec.containers: Required value$' '^deleted$'; do
    grep -qE "$line" "$work/$language.txt" || { echo "$language did not print what matches $line" >&2; exit 1; }
  done
done
echo "all of them did what docs/grpc.md says"
