"""The OpenAPI document says what is served, and what is served keeps to it."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from requests.auth import HTTPBasicAuth

from ingestion.collector.app import create_app
from ingestion.collector.routing import CollectorRoute
from ingestion.collector.settings import CollectorSettings
from tests.ingestion.collector.senders import KEY, Client, Keys, MemoryLog

APP = create_app(CollectorSettings(keys=Keys(), snowplow_source="snowplow"), MemoryLog())
DOCUMENT = APP.openapi()


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()]


def test_every_route_that_is_served_is_described_and_nothing_else() -> None:
    served = {(route.path_format, method.lower()) for route in APP.routes for method in route.methods}  # type: ignore[attr-defined]
    assert {(path, method) for path, method, _ in operations()} == served
    assert all(isinstance(route, CollectorRoute) for route in APP.routes)


def test_the_document_can_be_fetched(client: Client) -> None:
    assert client.get("/openapi.json").json() == DOCUMENT


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


schema = schemathesis.openapi.from_asgi("/openapi.json", APP)
schema.auth.set_from_requests(HTTPBasicAuth(KEY, ""))


@schema.parametrize()
@seed(20_260_101)
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_schemathesis_finds_nothing(case: schemathesis.Case) -> None:
    case.call_and_validate()
