#!/usr/bin/env bash
# Generates a client of the gRPC API from proto/:
#
#   docs/grpc/generate.sh go DIRECTORY PACKAGE     # PACKAGE is the import path of DIRECTORY, such as example.com/shop/gen
#   docs/grpc/generate.sh python DIRECTORY
#   docs/grpc/generate.sh typescript DIRECTORY
#
# The generators come from each language's package registry, in the versions that the programs beside this file use, and are
# kept in target/grpc. Rust needs none of this: crates/kapelle-client.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/grpc

usage() {
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 1
}

python() {
  [ -d "$work/python" ] || python3 -m venv "$work/python"
  "$work/python/bin/pip" install -q -r "$here/python/requirements.txt"
  # shellcheck disable=SC2046 # No path there has a blank.
  "$work/python/bin/python" -m grpc_tools.protoc -I "$root/proto" --python_out="$1" --grpc_python_out="$1" \
    $(cd "$root/proto" && find kapelle -name '*.proto')
}

go() {
  mkdir -p "$work/go"
  cp "$here/go/go.mod" "$here/go/go.sum" "$work/go/"
  sed "s|value: .*|value: $2|" "$here/go/buf.gen.yaml" >"$work/go/buf.gen.yaml"
  cd "$work/go"
  npx --yes @bufbuild/buf generate "$root/proto" -o "$1"
}

typescript() {
  mkdir -p "$work/typescript"
  cp "$here/typescript/package.json" "$here/typescript/buf.gen.yaml" "$work/typescript/"
  cd "$work/typescript"
  npm install --silent
  npx buf generate "$root/proto" -o "$1"
}

case "${1:-} $#" in
'go 3' | 'python 2' | 'typescript 2') ;;
*) usage ;;
esac
mkdir -p "$2"
"$1" "$(cd "$2" && pwd)" "${3:-}"
