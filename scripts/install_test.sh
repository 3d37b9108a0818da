#!/usr/bin/env bash
# Runs the commands of docs/install.md in a root of a release of Debian that has nothing but its base: from the packages
# to a series that was derived and accepted, then an upgrade to a later version, then the way back. The base is made once, with debootstrap, in .run/roots/RELEASE-base or below
# the folder that DEBIAN_ROOTS names; what a run writes lies over it, and is gone when the run ends.
#
# usage: scripts/install_test.sh bookworm|trixie|sid [container]
#
# With "container" the same root stands for the image orthancteam/orthanc: Debian's packages, the folders that
# docker-compose.yml mounts, its set-up script, its variables, and its health check.
set -euo pipefail
cd "$(dirname "$0")/.."
CHECKOUT=$PWD

RELEASE=${1:-} WAY=${2:-document}
fail() { printf 'install_test.sh: %s\n' "$*" >&2; exit 1; }
[[ $RELEASE =~ ^[a-z]+$ ]] || fail "name a release of Debian: bookworm, trixie or sid"
[ "$(id -u)" -eq 0 ] || exec sudo --preserve-env=DEBIAN_ROOTS,DEBIAN_MIRROR "$0" "$@"

BASE=${DEBIAN_ROOTS:-$CHECKOUT/.run/roots}/$RELEASE-base
MIRROR=${DEBIAN_MIRROR:-}
PYTHON=$CHECKOUT/.venv/bin/python
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

if [ "${IN_NAMESPACE:-}" != yes ]; then
    mkdir -p "$BASE"
    exec 9>"$BASE.lock"
    flock 9
    export IN_NAMESPACE=yes
    exec unshare --mount --propagation private --pid --fork --kill-child "$CHECKOUT/scripts/install_test.sh" "$@"
fi

if ! [ -e "$BASE/made" ]; then
    command -v debootstrap >/dev/null || fail "there is no debootstrap here: apt-get install debootstrap"
    find "$BASE" -mindepth 1 -xdev -delete # what an interrupted run left
    debootstrap --variant=minbase "$RELEASE" "$BASE" ${MIRROR:+"$MIRROR"} >"$BASE.log" 2>&1 ||
        fail "debootstrap failed: see $BASE.log"
    printf '#!/bin/sh\nexit 101\n' >"$BASE/usr/sbin/policy-rc.d" # the package's service would take this machine's port
    chmod +x "$BASE/usr/sbin/policy-rc.d"
    echo 'Acquire::Check-Valid-Until "false";' >"$BASE/etc/apt/apt.conf.d/stale-mirror"
    touch "$BASE/made"
fi

# A file system that is gone with this namespace.
LAYERS=$BASE.layers
mkdir -p "$LAYERS"
mount -t tmpfs tmpfs "$LAYERS"
mkdir "$LAYERS/upper" "$LAYERS/work" "$LAYERS/root"
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$LAYERS/upper,workdir=$LAYERS/work" "$LAYERS/root"
export ROOT=$LAYERS/root
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
for file in /etc/resolv.conf /etc/hosts; do
    [ ! -e "$file" ] || cp -L "$file" "$ROOT$file"
done

HERE=$ROOT/root/install
mkdir "$HERE"
for source in . compat/pyjpegls; do
    "$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$HERE" "./$source"
done
"$PYTHON" "$CHECKOUT/scripts/install_document.py" "$HERE"
mkdir "$HERE/series"
PYTHONPATH=$CHECKOUT/tests:$CHECKOUT/plugin "$PYTHON" - "$HERE/series" <<'END'
import sys
from pathlib import Path

from phantoms import ct_phantom, encode

for index, dataset in enumerate(ct_phantom(8, 32, 32)):
    (Path(sys.argv[1]) / f"{index}.dcm").write_bytes(encode(dataset))
END

# Names, proxy and certificates are this host's: it may sit behind a proxy that has its own. All else is as a new machine
# has it.
in_root() {
    local variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root) name
    variables+=(DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1)
    for name in http_proxy https_proxy no_proxy PIP_INDEX_URL; do
        [ -z "${!name:-}" ] || variables+=("$name=${!name}")
    done
    [ ! -e "$ROOT/root/trusted.crt" ] || variables+=(PIP_CERT=/root/trusted.crt)
    chroot "$ROOT" env -i "${variables[@]}" sh -c 'cd /root/install && exec "$@"' - "$@"
}
export -f in_root
[ ! -e "$CERTIFICATES" ] || cp -L "$CERTIFICATES" "$ROOT/root/trusted.crt"

in_root apt-get update -q
if [ "$WAY" = container ]; then
    OPT=$ROOT/opt/derived-series
    mkdir -p "$OPT"
    cp -r "$CHECKOUT"/{plugin,blueprints,scripts,pyproject.toml,LICENSE} "$OPT"
    cp "$CHECKOUT/orthanc.json" "$HERE/image.json"
    cat >"$HERE/variables" <<'END'
export DERIVED_SERIES_HOME=/opt/derived-series DERIVED_SERIES_STORAGE=/var/lib/orthanc/db
export DERIVED_SERIES_VENV=/var/lib/derived-series/venv ORTHANC_PASSWORD=secret
END
    cat >"$HERE/before.sh" <<'END'
set -eux
. ./variables
apt-get install -y --no-install-recommends orthanc orthanc-python orthanc-dicomweb python3-venv python3-pip
bash /opt/derived-series/scripts/container-setup.sh
bash /opt/derived-series/scripts/container-setup.sh >second
test ! -s second # what is there is left alone
END
    # What the image makes of its variables ORTHANC__...
    cat >"$HERE/restart.sh" <<'END'
set -eu
. ./variables
python3 - <<'LAID_OVER'
import fcntl, json, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 0x41)) # SIOCSIFFLAGS: IFF_UP and IFF_RUNNING
sections = json.load(open("image.json"))
sections |= {"RemoteAccessAllowed": True, "AuthenticationEnabled": True, "RegisteredUsers": {"orthanc": "secret"}}
json.dump(sections, open("/tmp/orthanc.json", "w"))
LAID_OVER
mkdir -p "$DERIVED_SERIES_STORAGE"
/usr/sbin/Orthanc /tmp/orthanc.json >/tmp/orthanc.log 2>&1 &
for _ in $(seq 100); do
    ! python3 /opt/derived-series/scripts/container_health.py 2>/dev/null || exit 0
    sleep 0.5
done
tail -50 /tmp/orthanc.log
exit 1
END
    in_root sh before.sh
    unshare --net bash -euc 'in_root sh restart.sh'
    printf '\n%s: the set-up script of the container leads to a plugin that answers\n' "$RELEASE"
    exit
fi
in_root sh before.sh
# The later version: this one with another number.
LATER=$LAYERS/later
mkdir "$LATER" "$HERE/later"
not_source=(./.git ./.venv ./.run ./.mypy_cache ./.pytest_cache ./.ruff_cache ./.hypothesis ./dist node_modules __pycache__)
tar -c "${not_source[@]/#/--exclude=}" . | tar -x -C "$LATER"
sed -i 's/^version = .*/version = "99.0"/' "$LATER/pyproject.toml"
"$PYTHON" -m pip wheel --quiet --no-deps --wheel-dir "$HERE/later" "$LATER"
# There is no systemd in a root: what stands in for its command starts Orthanc as the service does it, and waits until the
# plugin answers, where it is configured.
cat >"$ROOT/usr/local/sbin/systemctl" <<'END'
#!/bin/sh
set -eu
test "$*" = "restart orthanc"
if [ -e /run/orthanc.pid ]; then
    kill "$(cat /run/orthanc.pid)"
    while kill -0 "$(cat /run/orthanc.pid)" 2>/dev/null; do sleep 0.2; done
fi
setpriv --reuid orthanc --regid orthanc --init-groups /usr/sbin/Orthanc /etc/orthanc >/tmp/orthanc.log 2>&1 &
echo $! >/run/orthanc.pid
route=system
[ ! -e /etc/orthanc/derived-series.json ] || route=derived-series/status
for _ in $(seq 600); do
    ! curl -s -f -o /dev/null "http://127.0.0.1:8042/$route" || exit 0
    sleep 0.2
done
tail -50 /tmp/orthanc.log
exit 1
END
chmod +x "$ROOT/usr/local/sbin/systemctl"
# Without a network from here on, but for a loopback of its own: no port of this machine is taken.
cat >"$HERE/started.sh" <<'END'
set -eu
/opt/derived-series/bin/python -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh", b"lo", 0x41))' # SIOCSIFFLAGS: IFF_UP and IFF_RUNNING
ask() { curl -s -f "http://127.0.0.1:8042$1"; }
check() { # what was accepted is remembered as such, by the version that is meant
    ask /derived-series/recent | grep -q '"State" *: *"Accepted"'
    ask /derived-series/status | grep -q "\"Version\" *: *\"$1\""
}
systemctl restart orthanc
for file in series/*.dcm; do
    curl -s -f -H 'Expect:' -o /dev/null --data-binary "@$file" http://127.0.0.1:8042/instances
done
run() { sh "$1.sh" || { tail -50 /tmp/orthanc.log; exit 1; }; }
run after
check "$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)"
ask /derived-series/recent
rm derived_series_orthanc-*.whl
mv later/*.whl .
run upgrade
check 99.0
ask /derived-series/recent >accepted.json
run uninstall
test ! -e /opt/derived-series
test "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8042/derived-series/status)" = 404
test "$(ask /series | grep -o '"........-' | wc -l)" = 2 # the parent, and what was derived from it
DERIVED=$(sed -n 's/.*"ID" *: *"\([-0-9a-f]*\)".*/\1/p' accepted.json | head -1)
ask "/series/$DERIVED/metadata/4300" | grep -q gaussian_smoothing # its provenance
! grep '^E' /tmp/orthanc.log
END
cp "$CHECKOUT/pyproject.toml" "$HERE"
unshare --net bash -euc 'in_root sh started.sh'
printf '\n%s: docs/install.md leads to a derived series that was accepted, to a later version, and back to Orthanc alone\n' "$RELEASE"
