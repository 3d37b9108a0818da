#!/usr/bin/env bash
# Runs the two commands of the README, `make run` and `make test`, on another release of Debian: its Orthanc, its
# Python, its Chromium, from a root with nothing but `make` in it. Made once with debootstrap in .run/roots/RELEASE, or
# below the folder that DEBIAN_ROOTS names; safe to run again: what is there is left alone.
#
# usage: scripts/debian.sh bookworm|trixie|sid [pytest's arguments]    with some: pytest alone, after the set-up
#
# The root holds a copy of this repository, so nothing is written into the one here. All mounts are made in a mount
# namespace of this run's own, and its processes are in a PID namespace of its own: when it ends, in whatever way, the
# kernel removes the mounts and ends what was left running. What runs after the set-up has no network but its own
# loopback, so it takes no port of this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
CHECKOUT=$PWD

RELEASE=${1:-}
say() { printf '%s: %s\n' "$RELEASE" "$*"; }
fail() { printf 'debian.sh: %s\n' "$*" >&2; exit 1; }

[[ $RELEASE =~ ^[a-z]+$ ]] || fail "name a release of Debian first: bookworm, trixie or sid"
[ "$(id -u)" -eq 0 ] || exec sudo --preserve-env=DEBIAN_ROOTS,DEBIAN_MIRROR,DERIVED_SERIES_SHARED_DATA "$0" "$@"

ROOT=${DEBIAN_ROOTS:-$CHECKOUT/.run/roots}/$RELEASE
MIRROR=${DEBIAN_MIRROR:-} # else the one that debootstrap knows
HERE=/checkout            # where the root has its copy of this repository
SHARED=${DERIVED_SERIES_SHARED_DATA:-$CHECKOUT/../shared/data}
SHARED_HERE=/shared/data # and the series for tests, if there are any: beside it, as here
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
TRUSTED=/etc/trusted-by-host.crt

if [ "${IN_NAMESPACE:-}" != yes ]; then
    mkdir -p "$ROOT"
    exec 9>"$ROOT.lock"
    flock 9 # two at a time would make one root out of each other's halves
    export IN_NAMESPACE=yes
    exec unshare --mount --propagation private --pid --fork --kill-child "$CHECKOUT/scripts/debian.sh" "$@"
fi
shift

# Names, proxy and certificates are this host's: it may sit behind a proxy that has its own. All else is as a new
# machine has it, CI=true apart: what is not installed is then a failure and no skip.
in_root() {
    local variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI=true) name
    for name in http_proxy https_proxy no_proxy PIP_INDEX_URL CRASH_SEED CRASH_KILLS CRASH_JOBS FUZZ_SEED; do
        [ -z "${!name:-}" ] || variables+=("$name=${!name}")
    done
    [ ! -e "$ROOT$TRUSTED" ] || variables+=("PIP_CERT=$TRUSTED" "NODE_EXTRA_CA_CERTS=$TRUSTED")
    # shellcheck disable=SC2016 # $1 is the inner shell's
    chroot "$ROOT" env -i "${variables[@]}" sh -c 'cd "$1" && shift && exec "$@"' - "$HERE" "$@"
}

export -f in_root
export ROOT HERE TRUSTED

# Without any network but a loopback: the flags are IFF_UP and IFF_RUNNING, for SIOCSIFFLAGS of netdevice(7).
offline() {
    unshare --net bash -euc 'in_root .venv/bin/python -c "
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack(\"16sh\", b\"lo\", 0x41))"; in_root "$@"' - "$@"
}

make_root() {
    [ -e "$ROOT/made" ] && return
    if ! command -v debootstrap >/dev/null; then
        command -v apt-get >/dev/null || fail "there is no debootstrap here, and no apt-get to install it with"
        say "installing debootstrap"
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends debootstrap
    fi
    say "making $ROOT (in the end about 2 GB)"
    find "$ROOT" -mindepth 1 -xdev -delete # what an interrupted run left
    debootstrap --variant=minbase --include=make "$RELEASE" "$ROOT" ${MIRROR:+"$MIRROR"} >"$ROOT.log" 2>&1 ||
        fail "debootstrap failed: see $ROOT.log"
    # No service starts in here: the package's own Orthanc would take this machine's port 8042.
    printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
    chmod +x "$ROOT/usr/sbin/policy-rc.d"
    # A mirror of sid, which changes four times a day, is often a little behind.
    echo 'Acquire::Check-Valid-Until "false";' >"$ROOT/etc/apt/apt.conf.d/stale-mirror"
    touch "$ROOT/made"
}

mount_all() {
    local file
    mkdir -p "$ROOT$HERE" "$ROOT$SHARED_HERE"
    mount --bind "$ROOT" "$ROOT" # containers can only be made where / is a mount
    mount -t proc proc "$ROOT/proc"
    mount --rbind /dev "$ROOT/dev"
    mount --rbind /sys "$ROOT/sys" # podman reads the control groups
    if [ -d "$SHARED" ]; then
        mount --bind "$SHARED" "$ROOT$SHARED_HERE"
        mount -o remount,bind,ro "$ROOT$SHARED_HERE"
    fi
    for file in /etc/resolv.conf /etc/hosts; do
        [ ! -e "$file" ] || cp -L "$file" "$ROOT$file"
    done
    [ ! -e "$CERTIFICATES" ] || cp -L "$CERTIFICATES" "$ROOT$TRUSTED"
}

copy_checkout() {
    local not_source=(.git .venv .run .mypy_cache .pytest_cache .ruff_cache .hypothesis dist)
    find "$ROOT$HERE" -mindepth 1 -maxdepth 1 ! -name .venv ! -name .run ! -name .mypy_cache -exec rm -rf {} +
    tar -c --exclude=__pycache__ --exclude=node_modules "${not_source[@]/#/--exclude=./}" . |
        tar -x --no-same-owner -C "$ROOT$HERE"
}

make_root
mount_all
copy_checkout
if [ $# -gt 0 ]; then
    in_root scripts/setup.sh
    offline .venv/bin/python -m pytest "$@"
else
    in_root scripts/setup.sh --run # what `make run` starts with, and the one part of it that needs the network
    offline sh -c 'make run && make stop'
    in_root scripts/setup.sh # and `make test`
    offline make test
fi
