#!/usr/bin/env bash
# Runs the programs of docs/grpc.md against a cluster of their own: docs/grpc/check.sh [rust|python|go|typescript]…
# Each needs its language (Rust, Python 3.10, Go 1.26, Node 20) and fetches the rest from that language's package registry. What
# they need is kept in target/grpc. KAPELLE names the binary, target/debug/kapelle without it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/grpc
kapelle=${KAPELLE:-$root/target/debug/kapelle}
module=$root/wasm-samples/prebuilt/batch.wasm
mkdir -p "$work"

# As deep as the original, so that it finds the crate, and with the versions of everything that the crate is tested with.
rust() {
  cp -r "$here/rust" "$work/"
  cp "$root/Cargo.lock" "$work/rust/"
  cargo run -q --manifest-path "$work/rust/Cargo.toml" -- "$@"
}

python() {
  "$here/generate.sh" python "$work/gen"
  PYTHONPATH="$work/gen" "$work/python/bin/python" "$here/python/tour.py" "$@"
}

go() {
  cp -r "$here/go" "$work/"
  "$here/generate.sh" go "$work/go/gen" tour/gen
  cd "$work/go"
  command go run . "$@"
}

typescript() {
  cp -r "$here/typescript" "$work/"
  "$here/generate.sh" typescript "$work/typescript/gen"
  cd "$work/typescript"
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

[ $# -gt 0 ] || set -- rust python go typescript
for language in "$@"; do
  case $language in
  rust | python | go | typescript) printf '== %s\n' "$language" ;;
  *) echo "no program in $language here; there are rust, python, go and typescript" >&2 && exit 1 ;;
  esac
  "$language" "$directory/kubeconfig" "$module" | tee "$work/$language.txt"
  # States in between may be seen or not.
  for line in '^pushed: sha256$' '^applied: (CREATED|Created)$' ': Succeeded$' '^168 primes below 1000$' "^listed: tour-$language\$" \
    '^refused: .*pods "nobody" not found$' '^  field \.metadata\.labels\.app: conflict with "tour"$' \
    '^  field spec\.containers: Required value$' '^deleted$'; do
    grep -qE "$line" "$work/$language.txt" || { echo "$language did not print what matches $line" >&2; exit 1; }
  done
done
echo "all of them did what docs/grpc.md says"
