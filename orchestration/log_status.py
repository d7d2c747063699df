"""What `weft status` tells of the event log: asked once, patiently for two seconds; nothing is started."""

from dataclasses import dataclass
from datetime import datetime

from ingestion.event_log import LogError
from ingestion.log_backlog import Backlog, read_backlog
from orchestration.event_log import embedded_log, has_log, opened_log
from orchestration.log_passes import LogLanding, last_log_landing
from orchestration.resources import Platform

PATIENCE_SECONDS = 2.0
DOES_NOT_RUN = "The event log does not run: `weft up` starts it, and so does `weft run` while it lands what is there."


@dataclass(frozen=True)
class LogStatus:
    """The log and what has landed of it; `backlog` is null where the log could not be asked, and `problem` says why in one sentence."""

    address: str
    problem: str | None
    backlog: Backlog | None
    lag_seconds: float | None
    last_landing: LogLanding | None


def read_log_status(platform: Platform, now: datetime) -> LogStatus | None:
    """How the log stands; None where this installation never had one."""
    settings = platform.settings
    if not has_log(settings):
        return None
    problem: str | None = None
    backlog: Backlog | None = None
    try:
        with opened_log(settings, start=False, patience_seconds=PATIENCE_SECONDS) as log:
            if log is None:
                problem = DOES_NOT_RUN
            else:
                backlog = read_backlog(log)
    except LogError as error:
        problem = str(error)
    port = None if settings.log_url else embedded_log(settings).running_port()
    return LogStatus(
        address="WEFT_LOG_URL" if settings.log_url else f"embedded, 127.0.0.1:{port}" if port else "embedded",
        problem=problem,
        backlog=backlog,
        lag_seconds=backlog.lag(now).total_seconds() if backlog else None,
        last_landing=last_log_landing(platform.state),
    )
