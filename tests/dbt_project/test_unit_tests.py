"""The unit tests beside the models: what each makes of rows written by hand."""

from pathlib import Path

import pytest

from tests.dbt_project.increments import dbt


@pytest.mark.slow
def test_every_model_makes_of_its_unit_tests_rows_what_they_say(tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    dbt(warehouse, ["run", "--empty"])
    dbt(warehouse, ["test", "--select", "test_type:unit"])
