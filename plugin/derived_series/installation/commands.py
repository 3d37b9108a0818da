"""``derived-series install``, ``uninstall`` and ``doctor``."""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from derived_series.errors import InvalidRequest
from derived_series.installation.checks_of_accounts import account_of
from derived_series.installation.checks_of_files import SetUp, check_files
from derived_series.installation.checks_of_server import Server, check_server
from derived_series.installation.configuration import Configuration, read_configuration
from derived_series.installation.finding import Finding, Severity, error
from derived_series.installation.install import plan_installation, uninstall, write
from derived_series.orthanc.config import OrthancConfiguration

DEBIANS = Path("/etc/orthanc")


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the three to the command's parser."""
    installing = commands.add_parser("install", help="write the file that Orthanc needs; without --yes only show it")
    removing = commands.add_parser("uninstall", help="take that file away again; without --yes only show it")
    for each in (installing, removing):
        each.add_argument(
            "--orthanc", type=Path, default=DEBIANS, metavar="DIR", help="its configuration files' folder"
        )
        each.add_argument("--yes", action="store_true", help="do it")
    doctor = commands.add_parser("doctor", help="find what is wrong with a set-up")
    doctor.add_argument("--orthanc", type=Path, metavar="DIR_OR_FILE", help="Orthanc's configuration")
    doctor.add_argument("--url", help="a running Orthanc; with --orthanc alone, the one of that configuration")
    doctor.add_argument("--user", help="where Orthanc asks for a name")
    doctor.add_argument("--password", help="default: the environment variable ORTHANC_PASSWORD")
    doctor.add_argument("--header", action="append", default=[], metavar="NAME: VALUE", help="such as a token's")
    doctor.add_argument("--ca-bundle", metavar="FILE", help="certificates to trust; default: CaBundle of the settings")
    doctor.add_argument(
        "--as",
        dest="account",
        metavar="USER",
        help="who Orthanc runs as; default: orthanc, and outside /etc whom its storage belongs to",
    )
    doctor.add_argument("--offline", action="store_true", help="only the files; Orthanc need not run")
    doctor.add_argument("--json", action="store_true", help="the findings as JSON")


def _install(options: argparse.Namespace) -> int:
    plan = plan_installation(options.orthanc)
    if options.yes:
        for line in write(plan):
            print(line)
    else:
        print(f"{plan.file} {'is there already, as it has to be' if plan.is_written else 'would be written'}:")
        print(plan.text, end="")
        print("No other file is changed. Nothing was written: add --yes to write it.")
    for step in plan.steps:
        print(f"\nTo be done by you: {step}")
    if options.yes and not plan.steps:
        print(f"Restart Orthanc, then: derived-series doctor --orthanc {options.orthanc}")
    return int(options.yes and bool(plan.steps))


def _uninstall(options: argparse.Namespace) -> int:
    if not options.yes:
        print(f"derived-series.json of {options.orthanc} would be renamed, so that Orthanc does not read it.")
        print("Derived series, jobs and your blueprints stay. Nothing was changed: add --yes to do it.")
        return 0
    done, steps = uninstall(options.orthanc)
    for line in done:
        print(line)
    for step in steps:
        print(f"To be done by you: {step}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    findings = diagnosis(options)
    failed = any(finding.severity is Severity.ERROR for finding in findings)
    if options.json:
        print(json.dumps({"Findings": [finding.to_json() for finding in findings]}, indent=2))
        return int(failed)
    for finding in findings:
        print(finding)
    print(f"{len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}")
    return int(failed)


#: What each does; the exit status.
COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "install": _install,
    "uninstall": _uninstall,
    "doctor": _doctor,
}


def diagnosis(options: argparse.Namespace) -> list[Finding]:
    """All that is wrong with the files, the server, or both.

    :raises InvalidRequest: neither is named, or who Orthanc runs as is not a user.
    """
    if options.orthanc is None and options.url is None:
        raise InvalidRequest("name what to look at: --orthanc /etc/orthanc, --url http://127.0.0.1:8042, or both")
    configuration = Configuration(Path()) if options.orthanc is None else read_configuration(options.orthanc)
    try:
        account = account_of(options.account, configuration)
    except KeyError as problem:
        who = "the storage's owner" if options.account is None else f"--as {options.account}"
        raise InvalidRequest(f"{who}: there is no such user") from problem
    findings = [] if options.orthanc is None else check_files(SetUp(configuration, account))
    if options.offline or (configuration.problems and options.url is None):
        return findings
    around = OrthancConfiguration.of(dict(configuration.merged), configuration.path)
    named = options.ca_bundle or configuration.section("DerivedSeries").get("CaBundle")
    ca_bundle = None if named is None else str(configuration.folder / named)
    server = Server(
        options.url or around.url, _login(options, configuration), _headers(options), around.dicomweb_root, ca_bundle
    )
    if options.url is None and not _is_listening(around.url):
        return [*findings, error("server", f"Orthanc does not run: nothing listens at {around.url}", "start it")]
    seen = {(finding.name, finding.severity) for finding in findings}
    return [*findings, *(each for each in check_server(server) if (each.name, each.severity) not in seen)]


def _login(options: argparse.Namespace, configuration: Configuration) -> tuple[str, str] | None:
    if options.user is not None:
        return options.user, options.password or os.environ.get("ORTHANC_PASSWORD", "")
    registered = configuration.section("RegisteredUsers")
    return next(((name, str(password)) for name, password in registered.items()), None)


def _headers(options: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    pairs = [header.partition(":") for header in options.header]
    if any(not colon for _, colon, _ in pairs):
        raise InvalidRequest("--header is written as NAME: VALUE")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def _is_listening(url: str) -> bool:
    host, _, port = url.rpartition("/")[2].partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except OSError:
        return False
