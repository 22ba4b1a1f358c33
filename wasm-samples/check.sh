#!/bin/sh
# Proves that prebuilt/*.wasm belong to the sources beside them, and makes them anew.
#
#   check.sh          the files have the sums in prebuilt/SHA256SUMS, and so have the sources; where the
#                     WebAssembly targets are installed, it also builds everything again and compares
#   check.sh --write  builds everything and replaces prebuilt/
#
# Targets: rustup target add wasm32-wasip1 wasm32-wasip2
set -eu
cd "$(dirname "$0")"

COMPONENTS="hello-http hello-p3 kv-http front slow-start echo-tcp dial dial-p3 wget metrics-api"
# By themselves, so that the features they switch on in what they share with others change nothing there. Sockets of tokio are
# called unstable on WebAssembly.
ALONE="webhook operator"
MODULES="batch log-sidecar spin trap alloc-bomb flood-logs links"
SUMS=prebuilt/SHA256SUMS

# The sum over all sources and the lock file: what the binaries depend on beside the compiler. The guests of the conformance
# suite are another workspace, which nothing here is built from.
sources() {
    find . -path ./target -prune -o -path ./prebuilt -prune -o -path ./conformance -prune -o \
        \( -name '*.rs' -o -name 'Cargo.toml' -o -name 'Cargo.lock' \) -type f -print |
        LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1
}

# Same bytes wherever it is built: no path of this machine gets into the files.
build() {
    out=$1
    export RUSTFLAGS="--remap-path-prefix=$PWD=/wasm-samples --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    export CARGO_TARGET_DIR="$PWD/target"
    unset CARGO_PROFILE_RELEASE_DEBUG CARGO_BUILD_RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    cargo build --locked --quiet --release --target wasm32-wasip2 $(printf ' -p %s' $COMPONENTS)
    for name in $ALONE; do
        RUSTFLAGS="$RUSTFLAGS --cfg tokio_unstable" cargo build --locked --quiet --release --target wasm32-wasip2 -p "$name"
    done
    cargo build --locked --quiet --release --target wasm32-wasip1 $(printf ' -p %s' $MODULES)
    mkdir -p "$out"
    for name in $COMPONENTS $ALONE; do
        file=target/wasm32-wasip2/release/$name.wasm
        [ -f "$file" ] || file=target/wasm32-wasip2/release/$(echo "$name" | tr - _).wasm
        install -m 644 "$file" "$out/$name.wasm"
    done
    for name in $MODULES; do
        install -m 644 "target/wasm32-wasip1/release/$name.wasm" "$out/$name.wasm"
    done
}

if [ "${1:-}" = --write ]; then
    build prebuilt
    {
        echo "# sources $(sources)"
        echo "# $(rustc --version)"
        (cd prebuilt && sha256sum -- *.wasm)
    } >"$SUMS"
    exit 0
fi

(cd prebuilt && grep -v '^#' SHA256SUMS | sha256sum --check --quiet)
recorded=$(sed -n 's/^# sources //p' "$SUMS")
if [ "$recorded" != "$(sources)" ]; then
    echo "the sources have changed since prebuilt/ was made; run wasm-samples/check.sh --write" >&2
    exit 1
fi
installed=$(rustc --print sysroot)/lib/rustlib
if [ ! -d "$installed/wasm32-wasip1" ] || [ ! -d "$installed/wasm32-wasip2" ]; then
    echo "sums and sources fit; not built again, because the WebAssembly targets are not installed"
    exit 0
fi
if [ "$(sed -n 's/^# rustc /rustc /p' "$SUMS")" != "$(rustc --version)" ]; then
    echo "sums and sources fit; not built again, because they were made with another compiler"
    exit 0
fi
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
build "$again"
for file in prebuilt/*.wasm; do
    cmp "$file" "$again/$(basename "$file")"
done
echo "prebuilt/ is what these sources give"
