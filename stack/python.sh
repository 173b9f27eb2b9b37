#!/bin/sh
# Prints a Python 3.11 or later that can make virtual environments: $PYTHON, or the first found.
set -eu

suits() {
    "$1" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for python in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
    if suits "$python"; then
        echo "$python"
        exit 0
    fi
done
echo "there is no Python 3.11 or later with venv; install one, or say PYTHON=/path/to/python" >&2
exit 1
