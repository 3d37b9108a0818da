#!/usr/bin/env bash
# In the container, before Orthanc starts: the plugin's dependencies, once for each pyproject.toml and choice of extras,
# into a virtual environment on a volume. Orthanc's image brings the Python that its Python plugin runs, and pip, but no ensurepip.
set -euo pipefail

HOME_FOLDER=${DERIVED_SERIES_HOME:?}
EXTRAS=${DERIVED_SERIES_EXTRAS:-htj2k}
VENV=${DERIVED_SERIES_VENV:?}
PYTHON=$(command -v /usr/bin/python3)

wanted="$("$PYTHON" --version) $(sha256sum "$HOME_FOLDER/pyproject.toml" | cut -d ' ' -f 1) $EXTRAS"
if [ "$(cat "$VENV/installed-from" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
echo "derived-series: installing the dependencies into $VENV"
"$PYTHON" -m venv --clear --without-pip "$VENV"
# --editable: the plugin itself stays in its folder, which is mounted read-only
"$PYTHON" -m pip --python "$VENV/bin/python" install --quiet --disable-pip-version-check --no-cache-dir \
    --editable "$HOME_FOLDER[$EXTRAS]"
printf '%s\n' "$wanted" >"$VENV/installed-from"
