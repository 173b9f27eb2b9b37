#!/bin/sh
# Makes .venv and installs exactly what the lock files say, each file by its hash.
set -eu

python=$(sh "$(dirname "$0")/python.sh")
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip --quiet"
echo "installing the locked requirements into .venv"
$pip install --require-hashes -r requirements.txt -r requirements-dev.txt
$pip install --no-deps --no-build-isolation -e .
