"""What a soak has seen: samples of the processes and files, answers, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

#: Who a process is.
ORTHANC, WORKERS, ENVIRONMENT, OTHERS = "Orthanc", "workers", "environment", "others"


@dataclass(frozen=True, slots=True)
class Process:
    """Of one process at one moment; sizes in bytes.

    :ivar memory: its own: Pss_Anon and Pss_Shmem of proc_pid_smaps(5). Pages of files are left out: they count by how
        many other processes of the machine have them, which come and go.
    """

    pid: int
    who: str
    memory: int
    rss: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment; sizes in bytes.

    :ivar at: seconds after the beginning. :ivar unfinished: jobs that wait or run.
    :ivar load: processes of the whole machine that ran or could have, over the last minute.
    """

    at: float
    processes: tuple[Process, ...]
    jobs_file: int
    wal: int
    jobs_folder: int
    storage: int
    unfinished: int
    load: float

    def of(self, *who: str) -> list[Process]:
        return [process for process in self.processes if process.who in who]

    @property
    def orthanc(self) -> int:
        return sum(process.memory for process in self.of(ORTHANC))

    @property
    def largest_worker(self) -> int:
        """Of those that live as long as Orthanc: cancels end those of the environment."""
        return max((process.memory for process in self.of(WORKERS)), default=0)

    @property
    def together(self) -> int:
        return sum(process.memory for process in self.processes)

    @property
    def descriptors(self) -> int:
        """Orthanc's open files and sockets."""
        return sum(process.descriptors for process in self.of(ORTHANC))

    @property
    def threads(self) -> int:
        """Orthanc's."""
        return sum(process.threads for process in self.of(ORTHANC))


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a route. :ivar at: seconds after the beginning; :ivar seconds: until it was complete."""

    at: float
    route: str
    seconds: float
    status: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is not as it must be."""

    at: float
    what: str


@dataclass(slots=True)
class Course:
    """What happened in a soak.

    :ivar minutes: how long studies arrived.
    :ivar checked: when each study was seen to have exactly the expected series, and was deleted.
    :ivar missing: series that were missing, :ivar surplus: that were too many.
    :ivar jobs: the number that succeeded, by the plugin's metrics; :ivar failures: by the class of their error.
    :ivar cancelled: jobs that the plan cancelled.
    """

    minutes: float
    samples: list[Sample] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    checked: list[float] = field(default_factory=list)
    derived: list[float] = field(default_factory=list)
    missing: int = 0
    surplus: int = 0
    jobs: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    cancelled: int = 0

    @property
    def warm_up(self) -> float:
        """Seconds that are not looked at for growth: ten minutes of an hour."""
        return self.minutes * 10

    @property
    def steady(self) -> list[Sample]:
        """The samples from the end of the warm-up until studies cease to come."""
        return [sample for sample in self.samples if self.warm_up <= sample.at <= self.minutes * 60]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the course, by seconds after the beginning."""

    start: float
    end: float

    def __contains__(self, at: float) -> bool:
        return self.start <= at < self.end

    @property
    def name(self) -> str:
        return f"{self.start / 60:.3g} to {self.end / 60:.3g} min"


def windows(course: Course) -> list[Window]:
    """Six equal parts: ten minutes of an hour each."""
    length = course.minutes * 10
    return [Window(part * length, (part + 1) * length) for part in range(6)]


def by_window(course: Course, figure: Callable[[Window], str]) -> Iterator[str]:
    return map(figure, windows(course))
