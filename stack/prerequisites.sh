#!/bin/sh
# Finds what make needs and a bare Debian or Ubuntu lacks: Python's venv, Java 17+, Maven.
# Installs it by apt where that is allowed (root, or sudo without a password), saying so;
# elsewhere it prints the exact command and fails.
set -eu

version_of_java() {
    java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
    "$java" -version 2>&1 | sed -n 's/.* version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p'
}

sh "$(dirname "$0")/python.sh" >/dev/null 2>&1 || missing="python3 python3-venv"
missing="${missing-}"

# services in containers need neither Java nor Maven
if [ "${TIDEMARK_STACK-}" != docker ]; then
    java=$(version_of_java || true)
    if [ "${java:-0}" -lt 17 ]; then
        if [ -n "${JAVA_HOME-}" ]; then  # a package would not change what JAVA_HOME names
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
    echo "missing: $missing (Python 3.11+ with venv, a Java 17+ runtime, Maven);" \
        "install them with this system's package manager" >&2
    exit 1
fi

newest_java() {
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
[ "$allowed" = no ] || $elevate apt-get -qq update
packages=$(echo " $missing" | sed -e "s/ java/ $(newest_java)/" -e 's/^ */ /')
# --no-upgrade: what is installed may be in use by services that run
install="apt-get install -y --no-install-recommends --no-upgrade$packages"
if [ "$allowed" = no ]; then
    echo "missing:$packages; install with: sudo $install" >&2
    exit 1
fi
echo "installing what is missing: $install"
DEBIAN_FRONTEND=noninteractive $elevate $install
