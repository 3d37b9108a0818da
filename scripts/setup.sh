#!/usr/bin/env bash
# Installs what the plugin needs on Debian or Ubuntu: Orthanc with its Python and DICOMweb plugins, dicom3tools, and
# .venv with the same minor version of Python that Orthanc's Python plugin is linked with. Safe to run again: what is
# there is left alone. With --run, what only the tests need (a browser, curl, podman, dcmtk, eslint and tsc) is not. With
# --recipes, those programs of docs/recipes.md are that Debian has.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps Orthanc, not on every user's PATH

PLUGINS=/usr/share/orthanc/plugins
PYTHON_PLUGIN=$PLUGINS/libOrthancPython.so
STAMP=.venv/installed-from

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    # 9>&-: a service that starts here must not hold the lock
    if [ "$(id -u)" -eq 0 ]; then
        "$@" 9>&-
    else
        command -v sudo >/dev/null || fail "'$*' must be run as root, and there is no sudo: run this as root once"
        sudo "$@" 9>&-
    fi
}

apt_updated=no
apt_install() {
    command -v apt-get >/dev/null ||
        fail "there is no apt-get here; install by hand: $*"
    if [ "$apt_updated" = no ]; then
        as_root apt-get update -q
        apt_updated=yes
    fi
    say "installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# The package starts a server of its own on port 8042, at once and at every boot. This is called only when the package
# was not there before: a server that was is the user's, and left alone.
stop_packaged_service() {
    local pid
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now orthanc || say "the service 'orthanc' could not be disabled"
    elif pid=$(cat /run/orthanc.pid 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = Orthanc ]; then
        as_root kill "$pid" # not '/etc/init.d/orthanc stop', which ends every Orthanc there is
        for _ in $(seq 100); do
            [ -d "/proc/$pid" ] || break
            sleep 0.2
        done
    else
        return 0
    fi
    say "the package's own service 'orthanc' is off (to have it back: systemctl enable --now orthanc)"
}

install_packages() {
    local missing=() had_orthanc=yes
    if ! command -v Orthanc >/dev/null; then
        had_orthanc=no
        missing+=(orthanc)
    fi
    [ -e "$PYTHON_PLUGIN" ] || missing+=(orthanc-python)
    [ -e "$PLUGINS/libOrthancDicomWeb.so" ] || missing+=(orthanc-dicomweb)
    command -v dciodvfy >/dev/null || missing+=(dicom3tools)
    if [ ${#missing[@]} -gt 0 ]; then
        apt_install "${missing[@]}"
        [ "$had_orthanc" = yes ] || stop_packaged_service
    fi
}

# What only tests use. Those of pages are skipped without a browser: Ubuntu's package is a snap, which not every machine
# can have.
install_test_tools() {
    command -v curl >/dev/null || apt_install curl
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
        apt_install chromium || say "no Chromium could be installed: the tests of pages will be skipped"
    install_postgresql || say "no PostgreSQL could be installed: the tests with one will be skipped"
    install_container_tools || say "no podman could be installed: the tests of containers will be skipped"
    command -v dsrdump >/dev/null || apt_install dcmtk || say "dcmtk could not be installed: some tests will be skipped"
}

# PostgreSQL's programs and Orthanc's plugins for it. Tests start servers of their own: that of the package is off, unless
# it was there before.
install_postgresql() {
    local plugins=$PLUGINS/libOrthancPostgreSQLIndex.so
    if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
        as_root mkdir -p /etc/postgresql-common/createcluster.d
        echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.d/derived-series.conf >/dev/null
        apt_install postgresql || return 1
    fi
    [ -e "$plugins" ] || apt_install orthanc-postgresql
}

# Podman and what its tests make an image of; docker's command line, which newer releases have in a package of its own.
install_container_tools() {
    local missing=()
    command -v podman >/dev/null || missing+=(podman)
    command -v runc >/dev/null || missing+=(runc)
    [ -x /bin/busybox ] || [ -x /usr/bin/busybox ] || missing+=(busybox-static)
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}" || return 1
    command -v docker >/dev/null || apt_install docker-cli || apt_install docker.io
}

install_recipe_tools() {
    local missing=() each
    for each in mrtrix3:dwi2tensor elastix:elastix; do
        command -v "${each#*:}" >/dev/null || missing+=("${each%:*}")
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# Prints 3.X: the Python that is linked into Orthanc's Python plugin.
plugin_python_version() {
    local version
    version=$(ldd "$PYTHON_PLUGIN" | sed -n 's/.*libpython\(3\.[0-9]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] || fail "$PYTHON_PLUGIN is linked with no libpython3: which Python it runs cannot be told"
    printf '%s' "$version"
}

pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
}

make_venv() {
    local version=$1 python=/usr/bin/python$1 wanted
    # Never the 'python3' of PATH: another build of the same version may have another ABI or lack modules.
    if ! [ -x "$python" ] || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install "python$version" "python$version-venv"
    fi
    wanted="$python $(sha256sum pyproject.toml | cut -d ' ' -f 1) $PWD"
    if [ -x .venv/bin/python ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    if ! [ -x .venv/bin/python ] || [ "$(readlink -f .venv/bin/python)" != "$(readlink -f "$python")" ]; then
        say "making .venv with $python"
        "$python" -m venv --clear .venv
    fi
    say "installing the Python packages into .venv"
    # Where a package that we and highdicom ask for has no wheel (Python 3.14 today), another one stands in for it:
    # no compiler is needed to install.
    pip_install --only-binary pyjpegls pyjpegls 2>/dev/null || pip_install ./compat/pyjpegls
    pip_install --editable '.[dev]'
    printf '%s\n' "$wanted" >"$STAMP"
}

# eslint and tsc, by the npm that comes with a wheel of .venv.
install_page_checkers() {
    local wanted stamp=tooling/node_modules/installed-from
    wanted="$(sha256sum tooling/package-lock.json | cut -d ' ' -f 1)"
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing what checks the pages' JavaScript into tooling/node_modules"
    PATH=$PWD/.venv/bin:$PATH npm ci --prefix tooling --silent --no-audit --no-fund 9>&-
    printf '%s\n' "$wanted" >"$stamp"
}

mkdir -p .run
exec 9>.run/setup.lock
flock 9 # two at a time would spoil each other's .venv

install_packages
[ "${1:-}" = --run ] || install_test_tools
[ "${1:-}" != --recipes ] || install_recipe_tools
version=$(plugin_python_version)
make_venv "$version"
[ "${1:-}" = --run ] || install_page_checkers
say "ready: Python $version in .venv, $(Orthanc --version 2>/dev/null | sed -n '1s/^Orthanc /Orthanc /p')"
