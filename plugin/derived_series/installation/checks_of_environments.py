"""What the configuration and the certificates of workers on other machines tell before a job is sent to them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from derived_series.errors import InvalidRequest
from derived_series.installation.finding import Finding, error, warning
from derived_series.orthanc.config import EnvironmentSettings, OrthancConfiguration, Settings
from derived_series.orthanc.remote_environments import cluster_of

#: Days before its end at which a certificate is to be made again.
_EARLY_DAYS = 30

_REMEDY = (
    "move the folder of that machine away, have derived-series certificates make it again with the same ca folder, and "
    "start that machine's service again"
)


def check_elsewhere(
    name: str, environment: EnvironmentSettings, settings: Settings, around: OrthancConfiguration
) -> Iterator[Finding]:
    """What Orthanc would refuse at its start, and certificates that end soon. :param name: of the environment."""
    if find_spec("distributed") is None:
        yield error(
            "environments",
            f"Environments: {name}: a Scheduler needs the extra [dask], which is not installed",
            "pip install 'derived-series-orthanc[dask]' into the Python that Orthanc's plugin uses",
        )
    try:
        cluster = cluster_of(name, environment, settings, around)
    except InvalidRequest as problem:
        yield error("environments", problem.message, problem.remedy or "")
        return
    for file in filter(None, (cluster.ca, cluster.certificate)) if find_spec("cryptography") is not None else ():
        yield from _validity(f"Environments: {name}: {file}", Path(file))


def _validity(where: str, file: Path) -> Iterator[Finding]:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    now, end = datetime.now(UTC), certificate.not_valid_after_utc
    if now < certificate.not_valid_before_utc:
        yield error("environments", f"{where} is not valid yet by this machine's clock", "set the clock: a time server")
    elif now > end:
        yield error("environments", f"{where} is valid no more since {end.date()}", _REMEDY)
    elif (end - now).days < _EARLY_DAYS:
        yield warning("environments", f"{where} is valid until {end.date()} alone", _REMEDY)
