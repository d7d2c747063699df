"""Landing the event log: chunks of normalised requests into the warehouse, beside landing the same events from a file."""

from itertools import islice

from activation.embedded_redis import EmbeddedRedis
from bench import landing
from bench.collector import LOG_MEMORY_MB
from bench.comparison import Comparison, Ratio
from bench.harness import Contender, Facts, Run
from ingestion.event_log import NormalizedEntry, Received
from ingestion.normalise import normalise
from ingestion.redis_log import RedisEventLog
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.log_landing import land_log

EVENTS_A_REQUEST = 100
REQUESTS_AT_ONCE = 100
RECEIVED_AT = 1_795_000_000_000


def land_from_log(run: Run) -> Facts:
    """land_log of all that a normaliser put into the log: read, landed in chunks with the position, confirmed, trimmed."""
    with EmbeddedRedis(run.scratch / "log", maxmemory_mb=LOG_MEMORY_MB) as server:
        log = RedisEventLog(server.url)
        _fill(log, run)
        with landing.warehouse(run) as connection, landing.until_checkpoint(run, connection):
            for _report in land_log(DuckDBConnection(connection), log, landed_at=landing.LANDED_AT):
                pass
        log.close()
    return landing.found(run)


def _fill(log: RedisEventLog, run: Run) -> None:
    facts = {"path": "batch", "ip": "192.0.2.7"}
    entries: list[NormalizedEntry] = []
    with landing.events_file(run).open("rb") as lines:
        while some := [line.rstrip() for line in islice(lines, EVENTS_A_REQUEST)]:
            body = b'{"batch":[%b]}' % b",".join(some)
            entry = f"{RECEIVED_AT + len(entries)}-0"
            entries.append(
                NormalizedEntry(entry, normalise(Received("segment", "bench", RECEIVED_AT, body, facts), entry))
            )
    for start in range(0, len(entries), REQUESTS_AT_ONCE):
        log.write_normalized(entries[start : start + REQUESTS_AT_ONCE])


LOG, FILE = "Weft land_log", "Weft land_file"

COMPARISON = Comparison(
    title="Landing the log",
    unit="events",
    prepare=landing.prepare,
    contenders=(Contender(LOG, land_from_log), Contender(FILE, landing.weft)),
    ratios=(Ratio(LOG, FILE),),
    note=f"{EVENTS_A_REQUEST} events a request; the file goes through the mapping `segment` in one piece, the log through `collected` "
    "in chunks of 64 MB, a transaction each.",
)
