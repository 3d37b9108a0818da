"""What a configuration's files tell of a set-up, whether Orthanc runs or not."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydicom.datadict import tag_for_keyword

from derived_series.errors import InvalidRequest
from derived_series.installation.checks_of_database import check_database
from derived_series.installation.checks_of_environments import check_elsewhere, check_python
from derived_series.installation.checks_of_names import check_names, check_section
from derived_series.installation.configuration import Configuration
from derived_series.installation.finding import Finding, Severity, error, warning
from derived_series.installation.install import leads_to
from derived_series.installation.places import (
    base_of,
    environment_of,
    is_systems,
    plugin_script,
    python_of,
    ready_blueprints,
)
from derived_series.installation.rights import Account
from derived_series.installation.shared_libraries import DICOMWEB, PYTHON, linked_python, loaded_plugin, version_of
from derived_series.jobs.queue.schema import VERSION
from derived_series.jobs.queue.sqlite_database import DATABASE
from derived_series.loopback import is_loopback
from derived_series.orthanc.config import EnvironmentSettings, OrthancConfiguration, Settings
from derived_series.orthanc.health import FULL_BYTES, TIGHT_BYTES
from derived_series.orthanc.studies import tag_numbers

_GIGABYTE = 1 << 30

#: From this version of the Python plugin on, AllowThreads is there.
_WITH_THREADS = (4, 3)

#: Requests that administrators and readers send, for the authorization plugin's permissions.
_OF_USERS = (
    ("get", "/derived-series/status"),
    ("post", "/series/1-2-3-4-5/derive"),
    ("post", "/series/1-2-3-4-5/review"),
)


@dataclass(frozen=True, slots=True)
class SetUp:
    """An installation that is checked.

    :ivar account: who Orthanc runs as.
    :ivar free_bytes: how much room the disk of a folder has.
    """

    configuration: Configuration
    account: Account
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free


def check_files(set_up: SetUp) -> list[Finding]:
    """All that is wrong. Files that Orthanc itself refuses come first, alone."""
    findings = _all(set_up)
    unset = set_up.configuration.unset
    if not unset or not any(finding.severity is Severity.ERROR for finding in findings):
        return findings
    names = ", ".join(unset)
    doubt = warning(
        "variables",
        f"{set_up.configuration.path} takes {names} from the environment, where they are not set: what follows may be "
        "because of that",
        "run the doctor with the variables that Orthanc is started with",
    )
    return [doubt, *findings]


def _all(set_up: SetUp) -> list[Finding]:
    configuration = set_up.configuration
    if configuration.problems:
        remedy = "mend it: Orthanc reads all *.json of the folder, each section once (as root, if it cannot be read)"
        return [error("configuration", problem, remedy) for problem in configuration.problems]
    findings = [*_plugins(configuration), *_script(set_up), *_threads(configuration), *_access(configuration)]
    findings += check_section(configuration)
    if "DerivedSeries" not in configuration.merged and any(each.name == "settings" for each in findings):
        return findings  # all keys are in the section with the other name
    try:
        settings = Settings.of(configuration.merged.get("DerivedSeries", {}))
    except InvalidRequest as problem:
        return [*findings, error("settings", problem.message, "mend the key; docs/reference.md has all of them")]
    around = OrthancConfiguration.of(dict(configuration.merged), configuration.path)
    return [
        *findings,
        *_rules(configuration, settings),
        *check_names(configuration, settings),
        *_blueprints(set_up, settings, around),
        *_storage(set_up, settings, around),
        *_compression(configuration),
        *_workers(set_up, settings, around),
        *_receivers(set_up, settings),
    ]


def _plugins(configuration: Configuration) -> Iterator[Finding]:
    for name, package, key in ((PYTHON, "orthanc-python", "python plugin"), (DICOMWEB, "orthanc-dicomweb", "dicomweb")):
        if loaded_plugin(configuration, name) is None:
            yield error(
                key, f"Orthanc loads no {name}", f"install {package}, and have Plugins name its folder or its file"
            )
    if not configuration.section("DicomWeb").get("Enable", True):
        yield error("dicomweb", f"{_where(configuration, 'DicomWeb')}: DicomWeb.Enable is false", "set it to true")


def _script(set_up: SetUp) -> Iterator[Finding]:
    configuration = set_up.configuration
    named = configuration.merged.get("PythonScript") or configuration.section("Python").get("Path")
    ours = plugin_script()
    if not named:
        yield error("python script", "no file sets PythonScript", f"derived-series install, or set it to {ours}")
        return
    script = configuration.folder / str(named)
    where = _where(configuration, "PythonScript" if "PythonScript" in configuration.merged else "Python")
    if not script.is_file():
        yield error("python script", f"{where} names {named}, which is not there", f"set PythonScript to {ours}")
        return
    if not set_up.account.may(script, os.R_OK):
        yield error(
            "rights",
            f"{script} cannot be read by the user {set_up.account.name}",
            "install where every user may read, such as /opt, with umask 022",
        )
    if not _is_plugins(script, ours):
        yield error(
            "python script",
            f"{where} names {named}, which does not load this plugin",
            f"set PythonScript to {ours}, or have that script run it; derived-series install tells how",
        )
        return
    yield from _python(configuration, script if script.name == "main.py" else ours)


def _is_plugins(script: Path, ours: Path) -> bool:
    """The script of this installation, of another of this plugin, or one that runs ours."""
    if leads_to(str(script), ours) or script.resolve() == ours.resolve():
        return True
    return "derived_series.orthanc.app" in script.read_text("utf-8", "replace")


def _python(configuration: Configuration, script: Path) -> Iterator[Finding]:
    named = os.environ.get("DERIVED_SERIES_VENV")
    venv = Path(named) if named else environment_of(script.resolve())
    plugin = loaded_plugin(configuration, PYTHON)
    linked = linked_python(plugin) if plugin else None
    if venv is None:
        yield error(
            "environment",
            f"{script} has no virtual environment beside it, with what the plugin needs",
            "/usr/bin/python3 -m venv and pip install derived-series-orthanc; then derived-series install",
        )
    elif linked is not None and not is_systems(base := base_of(venv)):
        yield error(
            "python version",
            f"{venv} is of the Python in {base}, Orthanc's plugin runs the system's: their modules do not mix",
            f"make it again: /usr/bin/python{linked} -m venv --clear {venv}, and install the package",
        )
    elif linked is not None and (there := python_of(venv)) != linked:
        yield error(
            "python version",
            f"{plugin} runs Python {linked}, {venv} has Python {there or 'none'}",
            f"make it again: /usr/bin/python{linked} -m venv --clear {venv}, and install the package",
        )


def _threads(configuration: Configuration) -> Iterator[Finding]:
    plugin = loaded_plugin(configuration, PYTHON)
    version = version_of(plugin) if plugin else None
    if configuration.section("Python").get("AllowThreads") or (version is not None and version < _WITH_THREADS):
        return
    yield warning(
        "allow threads",
        "Python.AllowThreads is not set: one long request stops all others of the plugin",
        'set "Python": {"AllowThreads": true}',
    )


def _access(configuration: Configuration) -> Iterator[Finding]:
    merged, rules = configuration.merged, configuration.section("Authorization")
    if merged.get("RemoteAccessAllowed", False) and merged.get("AuthenticationEnabled") is False and not rules:
        yield warning(
            "authentication",
            "RemoteAccessAllowed is true, AuthenticationEnabled is false: who reaches the port may do everything",
            "set AuthenticationEnabled and RegisteredUsers, or have a proxy in front that asks who it is",
        )
    if not rules or not rules.get("Enable", True):
        return
    entries = [*_entries(rules.get("Permissions")), *_entries(rules.get("ExtraPermissions"))]
    lacking = [f"{method.upper()} {uri}" for method, uri in _OF_USERS if not _is_permitted(method, uri, entries)]
    if lacking and (rules.get("WebServicePermissionsUrl") or rules.get("WebServiceRootUrl") or entries):
        yield error(
            "authorization",
            f"the authorization plugin has no permission for {', '.join(lacking)}: it answers 403",
            "add the plugin's ExtraPermissions; docs/authorization.md has them",
        )


def _entries(value: Any) -> list[Any]:
    return [entry for entry in value if isinstance(entry, list) and len(entry) >= 2] if isinstance(value, list) else []


def _is_permitted(method: str, uri: str, entries: list[Any]) -> bool:
    """Whether an entry ``[method, pattern, permissions]`` is about a request."""
    return any(
        str(entry[0]).lower() in ("any", method) and re.search(str(entry[1]), uri) is not None for entry in entries
    )


def _rules(configuration: Configuration, settings: Settings) -> Iterator[Finding]:
    """Names of tags that Orthanc cannot know, with which it does not start."""
    own_tags = configuration.section("Dictionary")  # number -> [VR, name, ...]
    names = {str(entry[1]): number for number, entry in own_tags.items() if isinstance(entry, list) and len(entry) > 1}

    def number_of(keyword: str) -> str | None:
        tag = tag_for_keyword(keyword)
        return names.get(keyword) if tag is None else f"{tag >> 16:04x},{tag & 0xFFFF:04x}"

    try:
        tag_numbers(settings.rules, number_of)
    except InvalidRequest as problem:
        yield error("rules", f"{_where(configuration, 'DerivedSeries')}: {problem.message}", problem.remedy or "")


def _blueprints(set_up: SetUp, settings: Settings, around: OrthancConfiguration) -> Iterator[Finding]:
    for folder in settings.blueprint_folders:
        path = set_up.configuration.folder / folder
        if not path.is_dir():
            yield error(
                "blueprint folders", f"BlueprintFolders names {path}, which is not a folder", "make it, or name another"
            )
        elif not set_up.account.may(path, os.R_OK | os.X_OK):
            yield error(
                "rights",
                f"the folder of blueprints {path} cannot be read by the user {set_up.account.name}",
                f"chmod -R a+rX {path}",
            )
    folders = [(set_up.configuration.folder / each).resolve() for each in settings.blueprint_folders]
    if ready_blueprints().resolve() not in folders and not any((each / "ct.py").is_file() for each in folders):
        yield warning(
            "blueprint folders",
            "BlueprintFolders has no folder with the ready blueprints (ct, mr, segmentation and others)",
            f"add {ready_blueprints()}",
        )
    for name, environment in settings.environments.items():
        if environment.python is None:
            findings = [*_certificates(set_up, name, environment)]
            yield from findings
            if not any(each.severity is Severity.ERROR for each in findings):
                yield from check_elsewhere(name, environment, settings, around)
            continue
        python = set_up.configuration.folder / environment.python
        if not python.exists() or not set_up.account.may(python, os.X_OK):
            yield error(
                "environments",
                f"Environments: {name}: {python} is not a program that the user {set_up.account.name} may run",
                "name the Python of an environment in which this package is installed",
            )
        else:
            yield from check_python(name, python, set_up.account)


def _certificates(set_up: SetUp, name: str, environment: EnvironmentSettings) -> Iterator[Finding]:
    """Of workers on other machines: files that Orthanc's user may read, and that there are some."""
    if environment.is_unencrypted:
        yield warning(
            "environments",
            f"Environments: {name}: {environment.scheduler} is not encrypted: whoever reaches it, or is in between, "
            "may run any program on the workers",
            "use tls:// with the Certificates that derived-series certificates makes: see docs/many-machines.md",
        )
    if environment.certificates is None:
        return
    folder = set_up.configuration.folder / environment.certificates
    files = [folder / each for each in ("ca.pem", "cert.pem", "key.pem")]
    lacking = [str(file) for file in files if not file.exists() or not set_up.account.may(file, os.R_OK)]
    if lacking:
        yield error(
            "environments",
            f"Environments: {name}: {', '.join(lacking)}: not files that the user {set_up.account.name} may read",
            "derived-series certificates makes them: see docs/many-machines.md",
        )


def _storage(set_up: SetUp, settings: Settings, around: OrthancConfiguration) -> Iterator[Finding]:
    jobs = around.storage / "derived-series" if settings.jobs_folder is None else around.folder / settings.jobs_folder
    for folder, what in ((around.storage, "storage"), (jobs, "jobs")):
        there = next(each for each in (folder, *folder.parents) if each.is_dir())
        if not set_up.account.may(there, os.W_OK | os.X_OK):
            yield error(
                "rights",
                f"the {what} folder {folder} cannot be written by the user {set_up.account.name}",
                f"chown -R {set_up.account.name} {folder}",
            )
            return
        free = set_up.free_bytes(there)
        if free < TIGHT_BYTES:
            is_full = free < FULL_BYTES
            yield (error if is_full else warning)(
                "disk",
                f"the disk of the {what} folder {folder} has {free / _GIGABYTE:.1f} GB left",
                "make room: a full disk stops all derivations",
            )
            return
    if settings.jobs_database is None:
        yield from _database(jobs)
    else:
        yield from check_database(settings.jobs_database)


def _database(jobs: Path) -> Iterator[Finding]:
    file = jobs / DATABASE
    if not file.is_file():
        return
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as problem:
        yield error("jobs", f"{file} cannot be read: {problem}", "as root; else move it away: jobs are forgotten then")
        return
    if version > VERSION:
        yield error(
            "jobs",
            f"{file} is of a newer version of the plugin ({version}; this one knows {VERSION})",
            "install that version again, or name another JobsFolder",
        )


def _compression(configuration: Configuration) -> Iterator[Finding]:
    if configuration.merged.get("StorageCompression"):
        yield warning(
            "compression",
            "StorageCompression is on: storing a series takes six times as long",
            "set StorageCompression to false",
        )


def _workers(set_up: SetUp, settings: Settings, around: OrthancConfiguration) -> Iterator[Finding]:
    processors = len(os.sched_getaffinity(0))
    if settings.workers > processors:
        yield warning(
            "workers",
            f"Workers is {settings.workers}, this machine has {processors} processors",
            f"set it to {processors} at most: each derivation computes with one, and takes memory",
        )
    needed = 6 * settings.workers + 2
    if around.http_threads < needed + 1:
        yield warning(
            "http threads",
            f"HttpThreadsCount is {around.http_threads}; {settings.workers} workers need {needed}, and users some more",
            f"set it to {needed + 10}, or Workers to fewer",
        )


def _receivers(set_up: SetUp, settings: Settings) -> Iterator[Finding]:
    for receiver in settings.notify:
        where = f"Notify: {receiver.key}"
        if receiver.secret is None and "secret" not in receiver.model_fields_set:
            yield warning(
                "notify",
                f"{where} has no Secret: it cannot know that a notice is from this Orthanc",
                'set Secret to the output of: echo "whsec_$(openssl rand -base64 32)"; '
                '"Secret": null says that it checks no signature',
            )
        url = urlsplit(receiver.url)
        if url.scheme == "http" and not is_loopback(url.hostname):
            of_patients = receiver.include_patient_data
            what = "patient data" if of_patients else "what is told"
            yield (error if of_patients else warning)(
                "notify",
                f"{where} is reached by http: who is in between reads {what}",
                "give it an https URL",
            )
        if receiver.ca_bundle is not None:
            file = set_up.configuration.folder / receiver.ca_bundle
            if not file.is_file() or not set_up.account.may(file, os.R_OK):
                yield error(
                    "notify",
                    f"{where}: CaBundle {file} cannot be read by the user {set_up.account.name}",
                    "name a file with the certificates to trust",
                )


def _where(configuration: Configuration, section: str) -> str:
    return str(configuration.files.get(section, configuration.path))
