#!/usr/bin/env bash
# Installs the programs of others that the tests marked `readers` read our objects with: plastimatch (Debian's package),
# and in .readers, an environment of its own, dcmqi and dcmrtstruct2nii. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=("dcmqi==1.5.7" "dcmrtstruct2nii==5" "pydicom<3")

say() { printf 'readers: %s\n' "$*"; }

if ! command -v plastimatch >/dev/null; then
    root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    "${root[@]}" apt-get update -q
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends plastimatch
fi
if [ "$(cat .readers/installed-from 2>/dev/null)" != "${PACKAGES[*]}" ]; then
    say "installing ${PACKAGES[*]}"
    .venv/bin/python -m venv --clear .readers
    .readers/bin/python -m pip install --quiet "${PACKAGES[@]}"
    echo "${PACKAGES[*]}" >.readers/installed-from
fi
say "plastimatch and .readers are there"
