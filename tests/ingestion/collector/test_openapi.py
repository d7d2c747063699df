"""The OpenAPI document says what is served, and what is served keeps to it."""

import tempfile
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from requests.auth import HTTPBasicAuth
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ingestion.collector.app import create_app
from ingestion.collector.keys import key_hash
from ingestion.collector.routing import CollectorRoute
from ingestion.collector.settings import EVENTS_SCOPE, UPLOAD_SCOPE, CollectorSettings, KeyFacts
from tests.ingestion.collector.senders import KEY, Client, Keys, MemoryLog
from tests.ingestion.collector.served import uploads_in


class OneKey(Keys):
    """A key ring whose one key may do everything."""

    async def source_of(self, key_hash_: str) -> KeyFacts | None:
        return KeyFacts("shop", frozenset({EVENTS_SCOPE, UPLOAD_SCOPE})) if key_hash_ == key_hash(KEY) else None


FOLDER = tempfile.TemporaryDirectory(prefix="weft-tests-")
APP = create_app(
    CollectorSettings(keys=OneKey(), snowplow_source="snowplow", uploads=uploads_in(Path(FOLDER.name))), MemoryLog()
)
DOCUMENT = APP.openapi()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()]


def test_every_route_that_is_served_is_described_and_nothing_else() -> None:
    served = {(route.path_format, method.lower()) for route in APP.routes for method in route.methods}  # type: ignore[attr-defined]
    assert {(path, method) for path, method, _ in operations()} == served
    assert all(isinstance(route, CollectorRoute) for route in APP.routes)


def test_the_document_can_be_fetched() -> None:
    client = Client(APP)
    assert client.get("/openapi.json").json() == DOCUMENT
    client.close()


def test_names_of_operations_are_unique_and_references_lead_somewhere() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    schemas = DOCUMENT["components"]["schemas"]
    found: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                found.add(value["$ref"].removeprefix("#/components/schemas/"))
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(DOCUMENT)
    assert found <= set(schemas)
    assert {"Identify", "Track", "Page", "Screen", "Group", "Alias", "Batch"} <= found


@schemathesis.serializer("application/x-ndjson", "application/vnd.apache.parquet")
def as_it_is(_context: object, value: object) -> bytes:
    """A file is sent as it was made."""
    return value if isinstance(value, bytes) else str(value).encode()


# the other names of calls that are looked at under their own
schema = schemathesis.openapi.from_asgi("/openapi.json", APP).exclude(path_regex="^/v1/([a-z]|import|pixel/.*)$")
schema.auth.set_from_requests(HTTPBasicAuth(KEY, ""))


@schema.parametrize()
@seed(20_260_101)
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis_finds_nothing(case: schemathesis.Case) -> None:
    # what is acceptable in a file no schema can say
    case.call_and_validate(excluded_checks=[positive_data_acceptance] if case.path == "/v1/uploads" else [])
