"""The SQL and the Python form of normalisation give the same for every shared vector."""

import json
from pathlib import Path

import jinja2
import pyarrow as pa
import pytest

from identity import normalise
from orchestration.duckdb_warehouse import DuckDBWarehouse
from orchestration.postgres_warehouse import PostgresWarehouse
from orchestration.warehouse import Warehouse, write_table

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads(Path(normalise.__file__).with_name("normalise_vectors.json").read_text(encoding="utf-8"))


def rendered(macro_call: str, dialect: str) -> str:
    """The macros as dbt renders them: dispatch goes to the dialect's own body where there is one, else to the default."""
    macros = ROOT / "dbt_project" / "macros"
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals |= {"return": lambda value: value, "source": lambda *names: ".".join(names)}
    bodies = environment.from_string((macros / "cross_db.sql").read_text(encoding="utf-8"), {"adapter": None}).module

    class Adapter:
        def dispatch(self, name: str) -> object:
            return getattr(bodies, f"{dialect}__{name}", None) or getattr(bodies, f"default__{name}")

    environment.globals["adapter"] = Adapter()
    text = "".join(
        (macros / name).read_text(encoding="utf-8") for name in ("cross_db.sql", "normalised_identifiers.sql")
    )
    return environment.from_string(text + "{{ " + macro_call + " }}").render()


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_sql_and_python_normalise_every_shared_vector_alike(
    dialect: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if dialect == "duckdb":
        warehouse: Warehouse = DuckDBWarehouse(tmp_path / "warehouse.duckdb", tmp_path / "served")
    else:
        warehouse = PostgresWarehouse(request.getfixturevalue("postgres_url"))
    query = rendered("normalised_identifiers('raw.vectors')", dialect)
    with warehouse.writer() as connection:
        for country in sorted({vector["default_country"] for vector in VECTORS}):
            chosen = [vector for vector in VECTORS if vector["default_country"] == country]
            vectors = pa.table(
                {
                    "number": list(range(len(chosen))),
                    "identifier_type": [vector["type"] for vector in chosen],
                    "given_value": pa.array([vector["value"] for vector in chosen], pa.string()),
                }
            )
            types = {"number": "bigint", "identifier_type": "varchar", "given_value": "varchar"}
            write_table(connection, "raw.vectors", vectors, types)
            run = pa.table({"phone_country_code": [country]})
            write_table(connection, "control.current_run", run, {"phone_country_code": "varchar"})
            given = connection.rows(f"select identifier_value from ({query}) as q order by number")
            expected = [(vector["expected"],) for vector in chosen]
            differing = [
                (vector, value)
                for vector, (value,), (want,) in zip(chosen, given, expected, strict=True)
                if value != want
            ]
            assert differing == []
