"""How the event log stands, for Prometheus: asked when the collector's metrics are read, and left out where the log does not answer."""

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingestion.event_log import EventLog, LogError
from ingestion.log_backlog import read_backlog


class LogMetrics(Collector):
    """Asks the log, which may take as long as its patience: not for an event loop."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def collect(self) -> Iterator[Metric]:
        """Gauges of the backlog and the log's memory; what was normalised, by source and reason."""
        try:
            backlog, counts = read_backlog(self._log), self._log.counts()
        except LogError:
            return
        waiting = backlog.lag(datetime.now(UTC).replace(tzinfo=None)).total_seconds()
        for name, value, text in (
            ("weft_log_requests", backlog.entries, "Requests that the log holds."),
            ("weft_log_waiting_seconds", waiting, "How long the oldest request has waited that has not landed."),
            ("weft_log_memory_bytes", backlog.memory_used, "Memory that the log uses."),
            ("weft_log_memory_limit_bytes", backlog.memory_limit, "Memory that the log may use."),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        normalised = CounterMetricFamily(
            "weft_log_normalised",
            "Parts of requests that were normalised since the log's epoch began: events, products, privacy, or the reason to refuse them.",
            labels=["source", "outcome"],
        )
        for named, count in sorted(counts.items()):
            source, _, outcome = named.rpartition("|")
            normalised.add_metric([source, outcome], count)
        yield normalised
