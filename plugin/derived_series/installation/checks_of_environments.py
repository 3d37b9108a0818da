"""What is wrong with environments before a job is sent to them: another Python, or workers on other machines."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from derived_series.errors import InvalidRequest, UserCodeError
from derived_series.installation.finding import Finding, error, warning
from derived_series.installation.rights import Account
from derived_series.jobs.pool.launch import Interpreter, check_greeting
from derived_series.orthanc.config import EnvironmentSettings, OrthancConfiguration, Settings
from derived_series.orthanc.remote_environments import cluster_of
from derived_series.user_code import described

#: Days before its end at which a certificate is to be made again.
_EARLY_DAYS = 30

#: Seconds in which a Python has to say what it is: it loads none of the algorithm's packages for that.
_ASK_SECONDS = 60.0

#: What it is asked; a Python that lacks this package can say so.
_ASK = """
import json, platform
try:
    from derived_series.jobs.pool.launch import greeting
    answer = greeting()
except Exception as error:
    answer = {"Error": type(error).__name__ + ": " + str(error), "Python": platform.python_version()}
print(json.dumps(answer))
"""

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


def check_python(name: str, python: Path, account: Account) -> Iterator[Finding]:
    """Whether workers can run in the Python of an environment: it is asked what it has, as the user of Orthanc's.

    :param name: of the environment.
    """
    interpreter = Interpreter(python, None, name)
    try:
        check_greeting(_greeting_of(interpreter, account), interpreter)
    except UserCodeError as problem:
        yield error("environments", f"Environments: {problem.message}", problem.remedy or "")


def _greeting_of(interpreter: Interpreter, account: Account) -> dict[str, str]:
    """What a worker would say of itself there; its ``Error`` where it could not run.

    :raises UserCodeError: it is no Python that runs, or none of the versions that this package takes.
    """
    other = pwd.getpwuid(account.uid) if os.geteuid() == 0 and account.uid != 0 else None
    try:
        asked = subprocess.run(
            [interpreter.executable, "-P", "-c", _ASK],
            env=interpreter.variables({}),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_SECONDS,
            check=True,
            user=None if other is None else other.pw_uid,
            group=None if other is None else other.pw_gid,
            extra_groups=None if other is None else sorted(account.groups),
        )
        greeting: dict[str, str] = json.loads(asked.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as problem:
        lines = problem.stderr.strip().splitlines() or [str(problem)]
        raise _refusal(interpreter, lines[0]) from problem
    except subprocess.TimeoutExpired as problem:
        raise _refusal(interpreter, f"it does not answer within {_ASK_SECONDS:.0f} s") from problem
    except (OSError, ValueError, IndexError) as problem:
        raise _refusal(interpreter, described(problem)) from problem
    return greeting


def _refusal(interpreter: Interpreter, why: str) -> UserCodeError:
    return UserCodeError(
        f"{interpreter.described} is no Python that can run workers: {why}",
        remedy="name the Python, 3.11 or later, of an environment in which this package is installed",
    )


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
