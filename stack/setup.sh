#!/bin/sh
# Makes .venv and installs exactly what the lock files say, each file by its hash.
set -eu

python=$(sh "$(dirname "$0")/python.sh")
# an interrupted set-up leaves a .venv without pip, a removed Python one without an interpreter
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip --quiet"
echo "installing the locked requirements into .venv"
# the lock files are complete; --no-deps, or pip looks for extras that they do not repeat (coverage[toml])
# beyond the locked version and then refuses what it found
$pip install --no-deps --require-hashes -r requirements.txt -r requirements-dev.txt
$pip install --no-deps --no-build-isolation -e .
.venv/bin/python -m pip check >/dev/null || { .venv/bin/python -m pip check; exit 1; }
