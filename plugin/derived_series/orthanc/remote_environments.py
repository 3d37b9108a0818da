"""The environments whose workers are on other machines."""

from __future__ import annotations

import logging
import ssl
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from derived_series.errors import InvalidRequest
from derived_series.jobs.pool.environments import AnyEnvironment
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.remote.attempts import Attempts
from derived_series.jobs.remote.bundles import Bundles
from derived_series.jobs.remote.cluster import Cluster
from derived_series.jobs.remote.remote_environment import RemoteEnvironment
from derived_series.jobs.remote.remote_executor import RemoteExecutor
from derived_series.jobs.remote.versions import versions
from derived_series.loopback import is_loopback
from derived_series.orthanc.config import EnvironmentSettings, OrthancConfiguration, Settings
from derived_series.scheduler_connection import CertificateFiles

_log = logging.getLogger(__name__)

#: The packages that the process for dask imports.
_MODULE = "distributed"

#: The files of a folder of certificates.
_CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")


def remote_environments(
    settings: Settings,
    around: OrthancConfiguration,
    interpreter: Interpreter,
    attempts: Attempts,
    bundles: Bundles,
    kept: Path,
) -> dict[str, AnyEnvironment]:
    """The environments of the configuration that are on other machines, by name.

    :param interpreter: Orthanc's own Python. :param kept: a folder for the descriptions of their pipelines.
    :raises InvalidRequest: a file that they need is missing, or their workers cannot reach this Orthanc.
    """
    wanted = {name: each for name, each in settings.environments.items() if each.scheduler is not None}
    if not wanted:
        return {}
    if find_spec(_MODULE) is None:
        raise InvalidRequest(
            f"Environments: {', '.join(wanted)}: a Scheduler needs the extra [dask], which is not installed",
            remedy="pip install 'derived-series-orthanc[dask]' into the Python that Orthanc's plugin uses",
        )
    here = versions()
    environments: dict[str, AnyEnvironment] = {}
    for name, each in wanted.items():
        cluster = cluster_of(name, each, settings, around)
        if each.is_unencrypted:
            _log.warning(
                "Environments: %s: what is sent to %s is not encrypted: whoever reaches it, or is in between, may run "
                "any program on the workers",
                name,
                cluster.scheduler,
            )
        executor = RemoteExecutor(name, cluster, interpreter, attempts, here, bundles.digest)
        environments[name] = RemoteEnvironment(name, cluster, executor, kept / f"{name}.json", bundles.digest)
    return environments


def cluster_of(
    name: str, environment: EnvironmentSettings, settings: Settings, around: OrthancConfiguration
) -> Cluster:
    """The cluster of an environment with a Scheduler.

    :raises InvalidRequest: its files cannot be used, or its workers cannot reach this Orthanc.
    """
    scheduler = environment.scheduler or ""
    url = environment.orthanc_url or settings.orthanc_url or around.url
    is_elsewhere = not is_loopback(urlsplit(scheduler).hostname)
    if is_elsewhere and is_loopback(urlsplit(url).hostname):
        raise InvalidRequest(
            f"Environments: {name}: workers on other machines do not reach Orthanc at {url}",
            remedy=f'say where they do: "OrthancUrl" of the environment {name}',
        )
    if is_elsewhere and around.local:
        raise InvalidRequest(
            f"Environments: {name}: Orthanc serves this machine only, and the scheduler {scheduler} is on another one",
            remedy='set "RemoteAccessAllowed" in Orthanc\'s configuration, with users: docs/many-machines.md',
        )
    files = _certificates(name, environment, around.folder)
    bundle = environment.ca_bundle or settings.ca_bundle
    return Cluster(
        scheduler,
        url,
        around.dicomweb_root,
        settings.store_timeout,
        *files,
        workers=environment.workers,
        resources=environment.resources,
        ca_bundle=None if bundle is None else _authorities(name, around.folder / bundle),
        lost_after=environment.lost_after_seconds,
        strictness=environment.versions,
        idle=environment.idle_seconds,
    )


def _certificates(name: str, environment: EnvironmentSettings, folder: Path) -> tuple[str, str, str]:
    """The files of authority, certificate and key, for dask."""
    if environment.certificates is None:
        return "", "", ""
    place = folder / environment.certificates
    for each in _CERTIFICATES:
        _text(name, place / each)
    files = CertificateFiles.of(place)
    try:
        files.context()
    except InvalidRequest as error:
        raise InvalidRequest(f"Environments: {name}: {error.message}", remedy=error.remedy) from error
    return files.ca, files.certificate, files.key


def _authorities(name: str, file: Path) -> str:
    """The content of the certificates to trust."""
    content = _text(name, file)
    try:
        ssl.create_default_context(cadata=content)
    except (OSError, ValueError) as error:  # which includes ssl's errors
        raise InvalidRequest(
            f"Environments: {name}: CaBundle: {file} holds no certificates in PEM",
            remedy="name the file of the authority of the certificate that Orthanc's HTTPS port shows",
        ) from error
    return content


def _text(name: str, file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text (PEM)"
        raise InvalidRequest(
            f"Environments: {name}: {file} cannot be read: {why}",
            remedy="let Orthanc's user read it: chown"
            if isinstance(error, PermissionError)
            else "derived-series certificates makes the certificates of docs/many-machines.md",
        ) from error
