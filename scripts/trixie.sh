#!/usr/bin/env bash
# Runs the server tests on Debian 13 (trixie): its Orthanc, its Python plugin, its Python. Made once with debootstrap in
# .run/trixie, or in the folder that TRIXIE_ROOT names; safe to run again: what is there is left alone.
#
# usage: scripts/trixie.sh [pytest's arguments]    without any: all tests that start an Orthanc
#
# All mounts are made in a mount namespace of this run's own, and its processes are in a PID namespace of its own: when
# it ends, in whatever way, the kernel removes the mounts and ends what was left running.
set -euo pipefail
cd "$(dirname "$0")/.."
CHECKOUT=$PWD

say() { printf 'trixie: %s\n' "$*"; }
fail() { printf 'trixie: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || exec sudo --preserve-env=TRIXIE_ROOT,TRIXIE_MIRROR,DERIVED_SERIES_SHARED_DATA "$0" "$@"

ROOT=${TRIXIE_ROOT:-$CHECKOUT/.run/trixie}
MIRROR=${TRIXIE_MIRROR:-} # else the one that debootstrap knows
PACKAGES=(orthanc orthanc-python orthanc-dicomweb dicom3tools python3-venv)
VENV=/opt/venv
HERE=/checkout # where the chroot sees this repository
SHARED=${DERIVED_SERIES_SHARED_DATA:-$CHECKOUT/../shared/data}
SHARED_HERE=/shared-data # and the series for tests, if there are any

if [ "${IN_NAMESPACE:-}" != yes ]; then
    mkdir -p "$ROOT"
    exec 9>"$ROOT.lock"
    flock 9 # two at a time would make one root out of each other's halves
    export IN_NAMESPACE=yes TRIXIE_ROOT="$ROOT"
    exec unshare --mount --propagation private --pid --fork --kill-child "$CHECKOUT/scripts/trixie.sh" "$@"
fi

in_chroot() {
    chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        ${no_proxy:+no_proxy="$no_proxy"} "$@"
}

make_root() {
    [ -e "$ROOT/made" ] && return
    if ! command -v debootstrap >/dev/null; then
        command -v apt-get >/dev/null || fail "there is no debootstrap here, and no apt-get to install it with"
        say "installing debootstrap"
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends debootstrap
    fi
    say "making $ROOT (about 600 MB)"
    find "$ROOT" -mindepth 1 -xdev -delete # what an interrupted run left
    debootstrap --variant=minbase trixie "$ROOT" ${MIRROR:+"$MIRROR"} >"$ROOT.log" 2>&1 || fail "debootstrap failed: see $ROOT.log"
    # No service starts in here: the package's own Orthanc would take port 8042.
    printf '#!/bin/sh\nexit 101\n' >"$ROOT/usr/sbin/policy-rc.d"
    chmod +x "$ROOT/usr/sbin/policy-rc.d"
    touch "$ROOT/made"
}

mount_all() {
    mkdir -p "$ROOT$HERE" "$ROOT$SHARED_HERE"
    mount -t proc proc "$ROOT/proc"
    mount --rbind /dev "$ROOT/dev"
    mount --bind "$CHECKOUT" "$ROOT$HERE"
    mount -o remount,bind,ro "$ROOT$HERE"
    if [ -d "$SHARED" ]; then
        mount --bind "$SHARED" "$ROOT$SHARED_HERE"
        mount -o remount,bind,ro "$ROOT$SHARED_HERE"
    fi
    # Names and certificates are this host's: it may sit behind a proxy that has its own.
    local file
    for file in /etc/resolv.conf /etc/hosts; do
        [ -e "$file" ] && cp -L "$file" "$ROOT$file"
    done
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
        cp -L /etc/ssl/certs/ca-certificates.crt "$ROOT/etc/trusted-by-host.crt"
    fi
}

install_packages() {
    local wanted="${PACKAGES[*]}"
    [ "$(cat "$ROOT/packages" 2>/dev/null)" = "$wanted" ] && return
    say "installing $wanted"
    {
        in_chroot apt-get update -q &&
            in_chroot env DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends "${PACKAGES[@]}"
    } >>"$ROOT.log" 2>&1 || fail "apt-get failed: see $ROOT.log"
    printf '%s' "$wanted" >"$ROOT/packages"
}

make_venv() {
    local wanted
    wanted=$(sha256sum pyproject.toml | cut -d ' ' -f 1)
    [ "$(cat "$ROOT$VENV/installed-from" 2>/dev/null)" = "$wanted" ] && return
    say "installing the Python packages into $VENV"
    {
        in_chroot /usr/bin/python3 -m venv --clear "$VENV" &&
            in_chroot env ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
                "$([ -e "$ROOT/etc/trusted-by-host.crt" ] && echo PIP_CERT=/etc/trusted-by-host.crt || echo PIP=)" \
                "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
                --editable "$HERE[dev]"
    } >>"$ROOT.log" 2>&1 || fail "pip failed: see $ROOT.log"
    printf '%s' "$wanted" >"$ROOT$VENV/installed-from"
}

make_root
mount_all
install_packages
make_venv
say "$(in_chroot Orthanc --version | head -n 1), $(in_chroot "$VENV/bin/python" --version)"

if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046
    set -- $(grep -lE '\b(OrthancServer|StartOrthanc|(start|empty)_orthanc)\b' tests/test_*.py | xargs grep -L playwright) # there is no browser
fi
in_chroot env CI=true DERIVED_SERIES_VENV="$VENV" PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis \
    "$([ -d "$SHARED" ] && echo DERIVED_SERIES_SHARED_DATA="$SHARED_HERE" || echo NO_SHARED_DATA=yes)" \
    ${CRASH_SEED:+CRASH_SEED="$CRASH_SEED"} ${CRASH_KILLS:+CRASH_KILLS="$CRASH_KILLS"} \
    ${CRASH_JOBS:+CRASH_JOBS="$CRASH_JOBS"} \
    sh -c 'cd "$1" && shift && exec "$@"' - "$HERE" "$VENV/bin/python" -m pytest -p no:cacheprovider "$@"
