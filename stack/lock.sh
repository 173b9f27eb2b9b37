#!/bin/sh
# Writes requirements*.txt anew from requirements*.in: every platform, every file's hash, and no
# registry's address. uv lives in a folder of its own, as it is needed for nothing else.
set -eu

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$(sh "$(dirname "$0")/python.sh")" -m venv "$tools"
"$tools/bin/pip" --quiet install "uv==0.13.8"
for name in requirements requirements-dev tests/benchmarks/requirements; do
    "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
        "$name.in" -o "$name.txt"
done
