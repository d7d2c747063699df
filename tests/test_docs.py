"""The worked examples of docs/ do what the page says they do."""

import re
import textwrap
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from activation.destinations import Tools
from activation.fake_destinations.vendor import Call, Reply, Vendor
from activation.syncs.clock import Clock
from activation.syncs.contract import Change, Destination, Outcome
from ingestion.mappings import load_mapping
from ml.feature_table import feature_table
from ml.features import FEATURES
from orchestration.destinations_file import load_destinations
from orchestration.landing import land_file
from orchestration.outbound import outbound_client
from orchestration.settings import load_settings

DOCS = Path(__file__).resolve().parent.parent / "docs"


def _blocks(page: str) -> dict[str, str]:
    """The fenced blocks of a page by their language; the last one of each."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return {language: textwrap.dedent(body) for language, body in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)}


def test_the_till_of_add_a_source_lands_as_the_page_says(tmp_path: Path) -> None:
    blocks = _blocks("add-a-source.md")
    file, mapping = tmp_path / "till.csv", tmp_path / "till.yml"
    file.write_text(blocks["text"], encoding="utf-8")
    mapping.write_text(blocks["yaml"], encoding="utf-8")
    with duckdb.connect() as warehouse:
        report = land_file(warehouse, path=file, mapping=load_mapping(mapping), landed_at=datetime(2026, 3, 2))
        assert (report.accepted, report.rejected) == (2, {"bad_number": 1})
        again = land_file(warehouse, path=file, mapping=load_mapping(mapping), landed_at=datetime(2026, 3, 3))
        assert again.accepted == 0


def test_the_audience_of_add_an_audience_is_declared_as_the_shipped_ones_are() -> None:
    [model] = yaml.safe_load(_blocks("add-an-audience.md")["yaml"])["models"]
    shipped_file = DOCS.parent / "dbt_project" / "models" / "audiences" / "lapsed_buyers.yml"
    [shipped] = yaml.safe_load(shipped_file.read_text(encoding="utf-8"))["models"]
    assert model.keys() == shipped.keys()
    assert model["meta"]["audience"].keys() == shipped["meta"]["audience"].keys()
    assert [column["name"] for column in model["columns"]] == [column["name"] for column in shipped["columns"]]


def test_the_destination_of_syncs_can_be_used(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    settings.destinations_file.write_text(_blocks("syncs.md")["yaml"], encoding="utf-8")
    [destination] = load_destinations(settings)
    assert destination.columns == ("email", "order_count")


def test_the_destination_of_add_a_destination_sends_and_removes(tmp_path: Path) -> None:
    module: dict[str, Any] = {"__name__": "loyalty"}
    exec(compile(_blocks("add-a-destination.md")["python"], "loyalty.py", "exec"), module)
    vendor = Programme(Clock())
    with vendor.serving() as url, outbound_client(url, allow_private=True) as client:
        config = module["LoyaltyConfig"](
            name="points", type="loyalty", purposes=["advertising"], url=url, token={"env": "T"}, fields={"mail": "email"}
        )  # type: ignore[operator]  # fmt: skip
        tools = Tools("vip", lambda _: client, lambda _: "token", tmp_path)
        adapter = module["open_loyalty"](config, tools)
        assert isinstance(adapter, Destination)
        [record] = adapter.records(pa.table({"customer_id": ["c1"], "email": ["a@x.org"]}))
        change = Change(record.key, record.customer_id, "upsert", record.payload, None, "key", 1)
        assert adapter.send([change]) == [Outcome("accepted")]
        assert vendor.members == {"c1": {"mail": "a@x.org"}}
        removal = replace(change, operation="remove", payload={})
        assert [adapter.send([removal])[0].status for _ in range(2)] == ["accepted", "accepted"]
    assert vendor.members == {}


class Programme(Vendor):
    """The loyalty programme of the page."""

    members: dict[str, Any]

    def answer(self, call: Call) -> Reply:
        self.members = getattr(self, "members", {})
        member = call.path.rpartition("/")[2]
        assert call.headers["authorization"] == "Bearer token"
        if call.method == "PUT":
            self.members[member] = call.json
            return Reply(200, {})
        return Reply(204 if self.members.pop(member, None) else 404, b"")


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_of_features_is_that_of_the_features() -> None:
    page = (DOCS / "features.md").read_text(encoding="utf-8")
    assert feature_table() in page, "put what `python -m ml.feature_table` prints into docs/features.md"
    assert [feature.name for feature in FEATURES if not feature.how.endswith(".") or not feature.unit] == []
