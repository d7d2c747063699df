"""The SQL and the Python form of normalisation give the same for every shared vector."""

import json
from pathlib import Path

import duckdb
import jinja2
import pyarrow as pa

from identity import normalise

ROOT = Path(__file__).resolve().parents[2]
VECTORS = json.loads(Path(normalise.__file__).with_name("normalise_vectors.json").read_text(encoding="utf-8"))


def rendered(macro_call: str) -> str:
    """The macros as dbt renders them for DuckDB: dispatch goes to the default bodies."""
    macros = ROOT / "dbt_project" / "macros"
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals |= {"return": lambda value: value, "source": lambda *names: ".".join(names)}
    bodies = environment.from_string((macros / "cross_db.sql").read_text(encoding="utf-8"), {"adapter": None}).module

    class Adapter:
        def dispatch(self, name: str) -> object:
            return getattr(bodies, f"default__{name}")

    environment.globals["adapter"] = Adapter()
    text = "".join(
        (macros / name).read_text(encoding="utf-8") for name in ("cross_db.sql", "normalised_identifiers.sql")
    )
    return environment.from_string(text + "{{ " + macro_call + " }}").render()


def test_sql_and_python_normalise_every_shared_vector_alike() -> None:
    connection = duckdb.connect()
    connection.execute("create schema control")
    query = rendered("normalised_identifiers('vectors')")
    for country in sorted({vector["default_country"] for vector in VECTORS}):
        chosen = [vector for vector in VECTORS if vector["default_country"] == country]
        connection.execute(f"create or replace table control.current_run as select '{country}' as phone_country_code")
        vectors = pa.table(
            {
                "number": list(range(len(chosen))),
                "identifier_type": [vector["type"] for vector in chosen],
                "given_value": pa.array([vector["value"] for vector in chosen], pa.string()),
            }
        )
        connection.register("vectors", vectors)
        given = connection.execute(f"select identifier_value from ({query}) order by number").fetchall()
        expected = [(vector["expected"],) for vector in chosen]
        differing = [
            (vector, value) for vector, (value,), (want,) in zip(chosen, given, expected, strict=True) if value != want
        ]
        assert differing == []
