"""The ``"DerivedSeries"`` section of Orthanc's configuration, and the other settings that the plugin needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from derived_series.jobs.notices.receiver import Receiver, check_headers, repeated_receivers
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.remote.versions import Strictness
from derived_series.jobs.requests.derive import DeriveRequest, Name, validated
from derived_series.jobs.rules.model import Rule, check_names
from derived_series.json_model import JsonModel
from derived_series.loopback import is_unencrypted
from derived_series.orthanc.browsers import Doorkeeper

_MEGABYTE = 1 << 20
_URL = r"^https?://[^/@\s]+(/[^@\s]*[^/@\s])?$"

_OF_ADDRESSES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")

#: Fields of an environment whose workers are on other machines.
_OF_OTHER_MACHINES = frozenset(
    {"certificates", "allow_unencrypted", "orthanc_url", "ca_bundle", "lost_after_seconds", "versions"}
)

#: Settings of the authorization plugin that let it know users; one is the root of all its services.
_PROFILES = ("WebServiceRootUrl", "WebServiceUserProfileUrl")
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Megabytes = Annotated[int, Field(ge=1, le=1 << 20)]
ResourceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class PipelineLimits(JsonModel):
    """Limits for one pipeline, in place of the general ones."""

    timeout: Seconds | None = None
    memory_mb: Annotated[Megabytes | None, Field(alias="MemoryMB")] = None
    environment: Name | None = None


class EnvironmentSettings(JsonModel):
    """A Python for certain pipelines, here or on other machines.

    :ivar python: the program, with this package installed; relative to the configuration file.
    :ivar scheduler: dask's scheduler, in place of ``python``: its workers run the jobs, on any machines.
    :ivar certificates: for ``tls://``: a folder with ca.pem, cert.pem and key.pem, as ``derived-series certificates``
        makes it.
    :ivar allow_unencrypted: allows ``tcp://`` to another machine.
    :ivar orthanc_url: this Orthanc's URL for these workers; default: the section's.
    :ivar ca_bundle: certificates that they trust there; default: the section's.
    :ivar lost_after_seconds: after this long without a word from a worker, another one gets its job.
    :ivar versions: which versions must be the same there: those of the plugin, pydicom and numpy, or only the plugin's.
    :ivar workers: the number of processes, and so of jobs at a time.
    :ivar memory_mb: private memory that one of them may use.
    :ivar resources: units of each resource, such as ``GPU``, that each of them claims.
    :ivar idle_seconds: after this long without a job they end, with what their pipelines have prepared.
    """

    python: Annotated[str | None, Field(min_length=1)] = None
    scheduler: Annotated[str | None, Field(pattern=r"^(tcp|tls)://[^/@\s]+:[0-9]{1,5}$")] = None
    certificates: Annotated[str | None, Field(min_length=1)] = None
    allow_unencrypted: bool = False
    orthanc_url: Annotated[str | None, Field(pattern=_URL)] = None
    ca_bundle: str | None = None
    lost_after_seconds: Annotated[float, Field(ge=3, le=86400)] = 30.0
    versions: Strictness = "Same"
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    memory_mb: Annotated[Megabytes | None, Field(alias="MemoryMB")] = None
    resources: dict[ResourceName, Annotated[int, Field(ge=0, le=1024)]] = {}
    idle_seconds: Seconds = 600.0

    @model_validator(mode="after")
    def _here_or_elsewhere(self) -> EnvironmentSettings:
        if (self.python is None) == (self.scheduler is None):
            raise ValueError("it has either a Python, or the Scheduler of workers on other machines")
        if self.scheduler is None:
            if only := sorted(self.model_fields_set & _OF_OTHER_MACHINES):
                raise ValueError(f"{', '.join(only)}: only of workers on other machines, which have a Scheduler")
        elif self.scheduler.startswith("tls:") and self.certificates is None:
            raise ValueError("a Scheduler with tls:// needs Certificates: derived-series certificates makes them")
        elif self.scheduler.startswith("tcp:") and self.certificates is not None:
            raise ValueError("Certificates are for a Scheduler with tls://")
        elif self.is_unencrypted and not self.allow_unencrypted:
            raise ValueError(
                f"the Scheduler {self.scheduler} is on another machine and not encrypted: whoever reaches it, or is in "
                "between, may run any program on the workers; use tls:// and Certificates, or, in a network that you "
                'trust as a whole, set "AllowUnencrypted": true'
            )
        return self

    @property
    def is_unencrypted(self) -> bool:
        """Whether its scheduler is on another machine, and reached without TLS."""
        return self.scheduler is not None and is_unencrypted(self.scheduler)


class Settings(JsonModel):
    """The section. Every key has a default.

    :ivar blueprint_folders: the folders of blueprints and pipelines; relative to the configuration file.
    :ivar workers: the number of worker processes, and so of derivations at a time.
    :ivar jobs_folder: the folder of accepted jobs; default: ``derived-series`` in Orthanc's storage folder.
    :ivar jobs_database: a PostgreSQL that several Orthancs share, in place of a file in that folder.
    :ivar node_name: this Orthanc's name among them; default: the machine's name and HttpPort.
    :ivar queue_size: the most jobs that may wait or run; further ones are answered with 503.
    :ivar jobs_history: finished jobs that are remembered.
    :ivar failed_uploads_days: how long uploaded images of failed jobs are kept, which may be resubmitted.
    :ivar failed_uploads_mb: the most space for all of them; the newest are kept.
    :ivar job_timeout: seconds for one attempt at a job.
    :ivar synchronous_timeout: seconds after which a synchronous request is answered with its job instead.
    :ivar store_timeout: seconds that a request that stores instances may last in total.
    :ivar retrieve_timeout: seconds that retrieving an input from another server may take.
    :ivar attempts: attempts at a job while its failures may pass (connection lost, server error).
    :ivar retry_pause: seconds before the second attempt; doubled with each further one, 60 at most.
    :ivar worker_memory_mb: private memory that a worker may use.
    :ivar max_image_mb: the largest accepted image, as sent and as read.
    :ivar validation: what happens to a series that breaks a rule of its IOD, unless the request says so itself.
    :ivar orthanc_url: this Orthanc's URL for workers; default: 127.0.0.1 and HttpPort.
    :ivar orthanc_headers: headers that workers send with each request to this Orthanc, such as a token of their own.
    :ivar audit_mb: the most space for the files of the audit trail.
    :ivar ca_bundle: certificates to trust if that URL is HTTPS.
    :ivar pipelines: limits by pipeline name.
    :ivar environments: Pythons for certain pipelines, by the name in a pipeline's ``environment``.
    :ivar resources: the machine's units of each resource, such as ``{"GPU": 2}``; default: as many as the environment
        that claims most.
    :ivar idle_seconds: a worker that has prepared a pipeline restarts after this long without a job.
    :ivar ohif_folder: where ``make ohif`` has put the viewer, which is served if it exists.
    :ivar hold_until_accepted: destinations wait for a reviewer's "Accept", unless a request says otherwise.
    :ivar allowed_origins: origins whose pages may make a browser change something here, besides Orthanc's own.
    :ivar allowed_hosts: names of this Orthanc besides localhost and addresses.
    :ivar rules: what to derive from which series as soon as they are stable.
    :ivar notify: who is notified of jobs.
    :ivar log_format: with ``Json``, our lines of the log are objects, and also go to a file of their own.
    :ivar log_mb: the most space for the files of that log.
    """

    blueprint_folders: list[str] = ["blueprints"]
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    jobs_folder: str | None = None
    jobs_database: Annotated[str | None, Field(pattern=r"^postgres(ql)?://", repr=False)] = None
    node_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")] | None = None
    queue_size: Count = 1000
    jobs_history: Count = 1000
    failed_uploads_days: Annotated[float, Field(gt=0, le=36500)] = 7.0
    failed_uploads_mb: Annotated[Megabytes, Field(alias="FailedUploadsMB")] = 10240
    job_timeout: Seconds = 3600.0
    synchronous_timeout: Seconds = 600.0
    store_timeout: Seconds = 300.0
    retrieve_timeout: Seconds = 600.0
    attempts: Annotated[int, Field(ge=1, le=100)] = 8
    retry_pause: Seconds = 1.0
    worker_memory_mb: Annotated[Megabytes | None, Field(alias="WorkerMemoryMB")] = None
    max_image_mb: Annotated[Megabytes, Field(alias="MaxImageMB")] = 4096
    validation: Literal["Strict", "Warn", "Off"] = "Strict"
    orthanc_url: Annotated[str, Field(pattern=_URL)] | None = None
    orthanc_headers: Annotated[dict[str, str], Field(repr=False)] = {}
    ca_bundle: str | None = None
    audit_mb: Annotated[Megabytes, Field(alias="AuditMB")] = 100
    pipelines: dict[Name, PipelineLimits] = {}
    environments: dict[Name, EnvironmentSettings] = {}
    resources: dict[ResourceName, Annotated[int, Field(ge=0, le=1024)]] = {}
    idle_seconds: Seconds = 600.0
    hold_until_accepted: bool = False
    ohif_folder: str | None = None
    allowed_origins: list[Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]] = []
    allowed_hosts: list[Annotated[str, Field(pattern=r"^[^/\s]+$")]] = []
    rules: list[Rule] = []
    notify: Annotated[list[Receiver], Field(max_length=20)] = []
    log_format: Literal["Text", "Json"] = "Text"
    log_mb: Annotated[Megabytes, Field(alias="LogMB")] = 100

    @field_validator("rules")
    @classmethod
    def _named_once(cls, rules: list[Rule]) -> list[Rule]:
        check_names(rules)
        return rules

    @field_validator("orthanc_headers")
    @classmethod
    def _can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        check_headers(headers)
        return headers

    @field_validator("log_format", mode="before")
    @classmethod
    def _in_any_case(cls, word: object) -> object:
        return word.capitalize() if isinstance(word, str) else word

    @field_validator("notify")
    @classmethod
    def _can_be_told_apart(cls, receivers: list[Receiver]) -> list[Receiver]:
        if twice := repeated_receivers(receivers):
            raise ValueError(f"several receivers go by {', '.join(map(repr, twice))}: give each a Name")
        return receivers

    @model_validator(mode="after")
    def _environments_are_there(self) -> Settings:
        for pipeline, entry in self.pipelines.items():
            if entry.environment is not None and entry.environment not in self.environments:
                there = ", ".join(self.environments) or "none"
                raise ValueError(
                    f"Pipelines: {pipeline}: Environments has no {entry.environment!r}; there are: {there}"
                )
        for name, environment in self.environments.items():
            if environment.scheduler is not None and not _OF_ADDRESSES.fullmatch(name):
                raise ValueError(
                    f"Environments: {name!r}: the name of one with a Scheduler is a part of addresses and file names: "
                    "1 to 40 letters, digits, ., _ and -, of which the first is a letter or a digit"
                )
            for resource, count in environment.resources.items() if environment.scheduler is None else ():
                if count > self.total_resources[resource]:
                    raise ValueError(
                        f"Environments: {name}: each process claims {count} {resource}, Resources has "
                        f"{self.total_resources[resource]}"
                    )
        return self

    @property
    def total_resources(self) -> dict[str, int]:
        """The units that this machine has of each resource that is claimed or configured."""
        most: dict[str, int] = {}
        for environment in self.environments.values():
            for resource, count in environment.resources.items() if environment.scheduler is None else ():
                most[resource] = max(count, most.get(resource, 0))
        return {**most, **self.resources}

    @property
    def chosen_environments(self) -> dict[str, str]:
        """The environments that the configuration chooses for pipelines."""
        return {name: entry.environment for name, entry in self.pipelines.items() if entry.environment}

    @classmethod
    def of(cls, section: object) -> Settings:
        """Check the section.

        :raises InvalidRequest: naming every wrong key.
        """
        return validated(cls, section, 'the "DerivedSeries" section of the configuration: ')

    @property
    def limits(self) -> Limits:
        return Limits(
            parallel=self.workers,
            queue=self.queue_size,
            history=self.jobs_history,
            attempts=self.attempts,
            timeout=self.job_timeout,
            pause=self.retry_pause,
            upload_days=self.failed_uploads_days,
            upload_bytes=self.failed_uploads_mb * _MEGABYTE,
        )

    def document(self, asked: DeriveRequest) -> dict[str, Any]:
        """The request to keep with a job: with the configuration's values for what the request leaves open."""
        document = asked.to_json()
        if asked.destinations and asked.hold_until_accepted is None and self.hold_until_accepted:
            document["HoldUntilAccepted"] = True
        return document

    @property
    def audit_room(self) -> int:
        """``audit_mb`` in bytes."""
        return self.audit_mb * _MEGABYTE

    @property
    def log_room(self) -> int:
        """``log_mb`` in bytes."""
        return self.log_mb * _MEGABYTE

    @property
    def image_limit(self) -> int:
        """``max_image_mb`` in bytes."""
        return self.max_image_mb * _MEGABYTE

    def memory_limit(self, pipeline: str | None, environment: str | None = None) -> int | None:
        """Bytes that a worker may use for a pipeline in its environment."""
        entry = self.pipelines.get(pipeline or "")
        around = self.environments.get(environment or "")
        megabytes = (entry and entry.memory_mb) or (around.memory_mb if around else self.worker_memory_mb)
        return None if megabytes is None else megabytes * _MEGABYTE

    def timeout(self, pipeline: str | None) -> float:
        """Seconds for one attempt at a pipeline."""
        entry = self.pipelines.get(pipeline or "")
        return entry.timeout if entry and entry.timeout else self.job_timeout


@dataclass(frozen=True, slots=True)
class OrthancConfiguration:
    """The plugin's view of the rest of Orthanc's configuration.

    :param folder: the base of relative paths: the configuration file's folder.
    :param dicomweb_root: the root of the DICOMweb plugin's routes, without a slash at the end. No other code knows it.
    :param authenticates: whether Orthanc accepts only users that it knows.
    :param has_profiles: the authorization plugin is configured and knows users.
    :param local: it serves this machine only.
    :param stable_age: seconds without a new instance after which a series is stable.
    """

    folder: Path
    storage: Path
    url: str
    dicomweb_root: str
    http_threads: int
    authenticates: bool
    stable_age: float
    local: bool
    has_profiles: bool

    @classmethod
    def of(cls, configuration: dict[str, Any], path: Path) -> OrthancConfiguration:
        """Read Orthanc's configuration.

        :param path: the configuration's file or folder.
        """
        folder = path if path.is_dir() else path.parent
        scheme = "https" if configuration.get("SslEnabled") else "http"
        dicomweb = configuration.get("DicomWeb") or {}
        return cls(
            folder=folder.resolve(),
            storage=(folder / configuration.get("StorageDirectory", "OrthancStorage")).resolve(),
            url=f"{scheme}://127.0.0.1:{configuration.get('HttpPort', 8042)}",
            dicomweb_root="/" + str(dicomweb.get("Root", "/dicom-web/")).strip("/"),
            http_threads=int(configuration.get("HttpThreadsCount", 50)),
            authenticates=bool(
                configuration.get("AuthenticationEnabled", configuration.get("RemoteAccessAllowed", False))
            ),
            local=not configuration.get("RemoteAccessAllowed", False),
            has_profiles=any(configuration.get("Authorization", {}).get(key) for key in _PROFILES),
            stable_age=float(configuration.get("StableAge", 60)),
        )

    def doorkeeper(self, settings: Settings) -> Doorkeeper:
        """The check of requests by the configured origins and hosts."""
        hostname = urlsplit(settings.orthanc_url or self.url).hostname or ""
        return Doorkeeper(
            origins=frozenset(settings.allowed_origins),
            hosts=frozenset([*settings.allowed_hosts, hostname]),
            any_host=not self.local and not settings.allowed_hosts,
        )

    def waiters(self, workers: int) -> int:
        """The number of synchronous requests that may hold an HTTP thread, as workers need some too."""
        needed = 6 * workers + 2  # a fetch, four connections of a STOW and the progress of each; others
        return max(min(1, self.http_threads - 1), self.http_threads - needed)
