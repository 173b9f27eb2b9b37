#!/bin/sh
# Finds what `make test-docker` needs beside what stack/prerequisites.sh installs: a Docker engine, a
# compose command and, for stand-ins of the official images, debootstrap. Installs by apt where that
# is allowed (root, or sudo without a password), saying so; elsewhere it prints the exact command.
set -eu

missing=""
# an engine that answers may be anywhere; else one is started here, which needs dockerd
if ! docker version >/dev/null 2>&1 && ! { command -v docker && command -v dockerd; } >/dev/null; then
    missing=" engine"
fi
if ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null; then
    missing="$missing compose"
fi
command -v debootstrap >/dev/null || missing="$missing debootstrap"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "missing:$missing (Docker, its compose, debootstrap); install them with this system's" \
        "package manager" >&2
    exit 1
fi

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

# The first of these names that apt knows.
first_known() {
    for name in "$@"; do
        if apt-cache show "$name" >/dev/null 2>&1; then
            echo " $name"
            return
        fi
    done
}

packages=""
for need in $missing; do
    case $need in
        engine) packages="$packages docker.io$(first_known docker-cli)" ;;  # one package, or two
        compose) packages="$packages$(first_known docker-compose-v2 docker-compose)" ;;
        debootstrap) packages="$packages debootstrap$(first_known debian-archive-keyring)" ;;
    esac
done

# --no-upgrade: what is installed may be in use by containers that run
install="install -y --no-install-recommends --no-upgrade$packages"
if [ "$allowed" = no ]; then
    echo "missing:$packages; install with: sudo apt-get $install" >&2
    exit 1
fi
echo "installing what is missing: apt-get $install"
# shellcheck disable=SC2086 - a list of words
apt_get $install
