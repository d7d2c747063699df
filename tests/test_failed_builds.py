"""An analyst's `dbt build` of which one test fails is not whole: readers keep the build before, and no audience gets a version."""

import os
import subprocess
from pathlib import Path

from orchestration.clock import BUILDS
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.transform import DBT, DBT_PROJECT
from orchestration.warehouse import create_table, scalar


def test_what_a_failed_dbt_test_is_in_is_never_served(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    warehouse = Platform(settings).warehouse
    with warehouse.writer() as connection:
        create_table(connection, "control.builds", BUILDS)
        create_table(connection, "audiences.profiles", {"customer_id": "varchar", "expected_net_revenue_90d": "float8"})
        connection.execute("insert into audiences.profiles values ('twice', 9), ('twice', 8)")
        connection.execute("insert into audiences.profiles select 'c' || i, 1 from range(8) as r(i)")
    command = [DBT, "build", "--select", "high_value", "--exclude-resource-type", "unit_test"]
    command += ["--target-path", str(tmp_path / "target")]
    environment = os.environ | settings.dbt_environment()
    result = subprocess.run(command, cwd=DBT_PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, "Failure in test unique_high_value_customer_id" in result.stdout) == (1, True), (
        result.stdout
    )
    with warehouse.writer() as connection:
        assert scalar(connection, "select count(*) from audiences.high_value") == 2, "it was built"
        assert scalar(connection, "select count(*) from control.builds") == 0
    assert warehouse.serve_newest_build() is None
