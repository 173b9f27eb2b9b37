#!/bin/sh
# Finds what make needs and a bare Debian or Ubuntu lacks: Python's venv, Java 17+, Maven.
# Installs it by apt where that is allowed (root, or sudo without a password), saying so;
# elsewhere it prints the exact command and fails.
set -eu

version_of_java() {
    java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
    "$java" -version 2>&1 | sed -n 's/.* version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p'
}

missing=""
if ! sh "$(dirname "$0")/python.sh" >/dev/null 2>&1; then
    if [ -n "${PYTHON-}" ]; then  # a package would not change what PYTHON names
        echo "PYTHON=$PYTHON is no Python 3.11 or later with venv; correct it or unset it" >&2
        exit 1
    fi
    missing=" python"
fi

# services in containers need neither Java nor Maven
if [ "${TIDEMARK_STACK-}" != docker ]; then
    java=$(version_of_java || true)
    if [ "${java:-0}" -lt 17 ]; then
        if [ -n "${JAVA_HOME-}" ]; then  # nor what JAVA_HOME names
            echo "JAVA_HOME=$JAVA_HOME holds no Java 17 or later; correct it or unset it" >&2
            exit 1
        fi
        missing="$missing java"
    fi
    artifacts="${TIDEMARK_ARTIFACTS_DIR:-${TIDEMARK_STATE_DIR:-.tidemark}/artifacts}"
    [ -f "$artifacts/stamp" ] || command -v mvn >/dev/null || missing="$missing maven"
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "missing:$missing (Python 3.11+ with venv, a Java 17+ runtime, Maven);" \
        "install them with this system's package manager" >&2
    exit 1
fi

# Packages of a Python 3.11 or later with venv; none where this release has none.
python_packages() {
    minor=$(apt-cache show python3 2>/dev/null |
        sed -n 's/^Version: 3\.\([0-9]*\).*/\1/p' | head -n 1)
    if [ "${minor:-0}" -ge 11 ]; then
        echo "python3 python3-venv"
        return
    fi
    for name in python3.13 python3.12 python3.11; do
        if apt-cache show "$name-venv" >/dev/null 2>&1; then
            echo "$name $name-venv"
            return
        fi
    done
}

java_package() {
    if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
        echo openjdk-17-jre-headless
    else
        echo default-jre-headless  # 17 or later in every release that no longer has 17
    fi
}

elevate=""
allowed=yes
if [ "$(id -u)" -ne 0 ]; then
    elevate="sudo -n"
    sudo -n true 2>/dev/null || allowed=no
fi

# sudo drops variables, so they are given behind it; another apt at work is waited for
apt_get() {
    $elevate env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
        apt-get -o DPkg::Lock::Timeout=120 "$@"
}

if [ "$allowed" = yes ] && ! apt_get -qq update; then
    echo "apt-get update failed; going on with the package lists that are there" >&2
fi

packages=""
for need in $missing; do
    case $need in
        python)
            found=$(python_packages)
            if [ -z "$found" ]; then
                echo "apt knows no Python 3.11 or later; install one (by uv or pyenv, or from" \
                    "python.org), then say: make PYTHON=/path/to/python3.12 setup" >&2
                exit 1
            fi
            packages="$packages $found"
            ;;
        java) packages="$packages $(java_package)" ;;
        *) packages="$packages $need" ;;
    esac
done

# --no-upgrade: what is installed may be in use by services that run
install="install -y --no-install-recommends --no-upgrade$packages"
if [ "$allowed" = no ]; then
    echo "missing:$packages; install with: sudo apt-get $install" >&2
    exit 1
fi
echo "installing what is missing: apt-get $install"
# shellcheck disable=SC2086 - a list of words
apt_get $install
