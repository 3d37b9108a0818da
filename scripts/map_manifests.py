"""Writes the manifests of the MONAI Application Package for the tests, with the SDK's own packager.

It needs a virtual environment of its own: ``pip install holoscan-cli==3.0.0``, the packager of MONAI Deploy's SDK 3;
later versions have none. Run it from the repository: ``PYTHON scripts/map_manifests.py``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from holoscan_cli.common.enum_types import SdkType
from holoscan_cli.packager.config_reader import ApplicationConfiguration
from holoscan_cli.packager.parameters import PackageBuildParameters

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "unit" / "pipelines" / "package"

CONFIGURATION = """
application:
  title: Copy as derived
  version: "1.0"
  input-formats: [dicom]
  output-formats: [dicom]
resources:
  cpu: 1
  gpu: 0
  memory: 1Gi
  gpuMemory: 0Gi
  sharedMemory: 64Mi
"""


def main() -> None:
    """Write app.json and pkg.json."""
    with tempfile.TemporaryDirectory() as folder:
        program, configuration = Path(folder, "run.sh"), Path(folder, "app.yaml")
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        configuration.write_text(CONFIGURATION)
        parameters = PackageBuildParameters()
        parameters.application = program
        parameters.config_file = configuration
        parameters.sdk = SdkType.MonaiDeploy
        parameters.version = None
        reader = ApplicationConfiguration()
        reader.read(configuration)
        application = reader.populate_app_manifest(parameters)
        application.sdk, application.sdk_version = SdkType.MonaiDeploy.value, "3.0.0"
        package = reader.populate_package_manifest(parameters)
    FOLDER.mkdir(exist_ok=True)
    for name, manifest in (("app", application), ("pkg", package)):
        (FOLDER / f"{name}.json").write_text(json.dumps(manifest.data, indent=2) + "\n")


if __name__ == "__main__":
    main()
