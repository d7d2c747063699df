"""What Prometheus can read of the collector. No label holds a key, an address or anything of an event."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_MOST_SOURCES = 1_000
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of one collector. Sources come from the settings and the key ring; past a thousand they are counted as `other`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "weft_collector_requests", "Requests by route and status.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "weft_collector_request_seconds",
            "From a request's headers to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._events = Counter(
            "weft_collector_events",
            "Events that the log took, by source and kind.",
            ["source", "kind"],
            registry=self.registry,
        )
        self._entries = Counter("weft_collector_log_entries", "Requests that the log took.", registry=self.registry)
        self._refused = Counter(
            "weft_collector_refused",
            "Requests that were refused, by the code in the answer.",
            ["code"],
            registry=self.registry,
        )
        self._cut = Counter(
            "weft_collector_cut_connections",
            "Connections that were ended for what the sender did, by status: 400 not HTTP, 408 too slow, 431 head too large, 503 too many.",
            ["status"],
            registry=self.registry,
        )
        self.log_ready = Gauge("weft_collector_log_ready", "1 where the log takes events.", registry=self.registry)
        self._request_children: dict[tuple[str, int], Counter] = {}
        self._seconds_children: dict[str, Histogram] = {}
        self._event_children: dict[tuple[str, str], Counter] = {}
        self._sources: set[str] = set()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request. `route` is a route's path as declared, or `other`."""
        child = self._request_children.get((route, status))
        if child is None:
            child = self._request_children[route, status] = self._requests.labels(route, str(status))
        child.inc()
        timing = self._seconds_children.get(route)
        if timing is None:
            timing = self._seconds_children[route] = self._seconds.labels(route)
        timing.observe(seconds)

    def refused(self, code: str) -> None:
        """Count a refusal by its code."""
        self._refused.labels(code).inc()

    def cut(self, status: int) -> None:
        """Count a connection that was ended before there was a request to answer."""
        self._cut.labels(str(status)).inc()

    def appended(self, source: str, kind: str, events: int) -> None:
        """Count what the log took."""
        if source not in self._sources:
            if len(self._sources) < _MOST_SOURCES:
                self._sources.add(source)
            else:
                source = "other"
        child = self._event_children.get((source, kind))
        if child is None:
            child = self._event_children[source, kind] = self._events.labels(source, kind)
        child.inc(events)
        self._entries.inc()

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)
