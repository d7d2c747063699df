"""Landing the event log as a pass, a job and a person ask for it: what the collector took until now becomes rows of raw."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime

from activation.errors import EmbeddedRedisError
from ingestion import normaliser
from ingestion.event_log import EventLog, LogError, LogFullError
from ingestion.file_errors import FileError
from ingestion.landing_report import LandingReport
from ingestion.log_backlog import read_backlog
from ingestion.log_entries import id_parts
from ingestion.normalise.source_settings import SOURCE_FILES
from orchestration.consent_sweep import sweep_refusals
from orchestration.event_log import has_log, opened_log
from orchestration.failpoints import OnStep, failpoints
from orchestration.log_landing import EVENTS_MAPPING, land_log
from orchestration.resources import Platform
from orchestration.state import State, utc_now

LAST_LOG_LANDING = "last_log_landing"


@dataclass(frozen=True)
class LogLanding:
    """What came of landing the log; `problem` is a sentence where not all of it could be landed. Parts of requests, events and products."""

    at: datetime
    problem: str | None = None
    rows_read: int = 0
    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    events: int = 0
    """Accepted ones, without products."""
    rejected: dict[str, int] = field(default_factory=dict)
    waited_seconds: float = 0.0
    """How long the oldest of it had been in the log."""
    requests_left: int = 0
    """What the log still held afterwards: what came meanwhile, or what another reader has not read."""

    @classmethod
    def of(cls, done: "_Done", *, at: datetime, problem: str | None = None) -> "LogLanding":
        """The sum of the reports."""
        reports = done.reports
        counts = {
            name: sum(getattr(report, name) for report in reports)
            for name in ("rows_read", "accepted", "duplicates", "conflicts")
        }
        rejected: Counter[str] = Counter()
        for report in reports:
            rejected.update(report.rejected)
        events = sum(report.accepted for report in reports if report.mapping == EVENTS_MAPPING)
        return cls(
            at,
            problem,
            **counts,
            events=events,
            rejected=dict(rejected),
            waited_seconds=done.waited_seconds,
            requests_left=done.requests_left,
        )


@dataclass
class _Done:
    """What is known of a landing of the log so far, whatever stops it."""

    reports: list[LandingReport] = field(default_factory=list)
    waited_seconds: float = 0.0
    requests_left: int = 0


def land_the_log(platform: Platform, *, on_step: OnStep = failpoints("log_landing")) -> list[LandingReport]:
    """Land what the log holds now, requests that the normaliser did not come to included; reports by chunk and mapping.

    Nothing where this installation never had a log. Raises LogError where the log does not answer, FileError where the warehouse did
    not take a chunk: what was landed before stays.
    """
    done = _Done()
    _land(platform, done, on_step)
    return done.reports


def try_to_land_the_log(platform: Platform) -> LogLanding | None:
    """`land_the_log` for a pass, which goes on without the log where that fails; None where there never was a log.

    What came of it is remembered for `last_log_landing`.
    """
    if not has_log(platform.settings):
        return None
    done, problem = _Done(), None
    try:
        _land(platform, done, failpoints("log_landing"))
    except (LogError, FileError, EmbeddedRedisError) as error:
        problem = str(error)
    landing = LogLanding.of(done, at=utc_now(), problem=problem)
    platform.state.remember(LAST_LOG_LANDING, json.dumps({**asdict(landing), "at": landing.at.isoformat()}))
    return landing


def last_log_landing(state: State) -> LogLanding | None:
    """What came of the last try to land the log; None where there was none."""
    text = state.setting(LAST_LOG_LANDING)
    if text is None:
        return None
    given = json.loads(text)
    return LogLanding(**{**given, "at": datetime.fromisoformat(given["at"])})


def use_source_settings(platform: Platform) -> None:
    """Let this process normalise by the files in WEFT_HOME/sources."""
    SOURCE_FILES.folder = platform.settings.source_files


def _land(platform: Platform, done: _Done, on_step: OnStep) -> None:
    if not has_log(platform.settings):
        return
    with opened_log(platform.settings) as log:
        assert log is not None, "an embedded log is started"
        done.waited_seconds = read_backlog(log).lag(utc_now()).total_seconds()
        _normalise_rest(log)
        with platform.warehouse.writer() as connection:
            # chunk by chunk: what has landed is reported whatever becomes of the next
            for report in land_log(connection, log, landed_at=utc_now(), on_step=on_step):
                done.reports.append(report)
            sweep_refusals(platform, connection)
        done.requests_left = read_backlog(log).entries


def _normalise_rest(log: EventLog) -> None:
    """Normalise the requests that are there now, where no normaliser did: two at once change nothing."""
    last_raw = id_parts(log.state().last_raw)
    try:
        while id_parts(log.state().last_normalized) < last_raw and normaliser.run_once(log):
            pass
    except LogFullError:
        pass  # landing makes room, and the next run goes on from there
