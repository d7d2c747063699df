"""The worked examples of docs/ do what the page says they do."""

import re
import textwrap
from datetime import datetime
from pathlib import Path

import duckdb
import yaml

from ingestion.mappings import load_mapping
from orchestration.landing import land_file

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


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
