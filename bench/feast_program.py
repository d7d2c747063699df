"""Feast writing customers to its Redis store, run by a Python that has Feast (WEFT_BENCH_FEAST_PYTHON): the reference's anchor
feast_redis.py for the customers of this benchmark. `python bench/feast_program.py PORT PARQUET FOLDER`: prints one JSON object.

The clock runs around write_to_online_store alone: reading the customers as a data frame and Feast's own registration are outside.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"  # noqa: TID251  (before it is imported)

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import String

STORE = """\
project: cdp
registry: {folder}/registry.db
provider: local
online_store: {{type: redis, connection_string: "127.0.0.1:{port}"}}
offline_store: {{type: file}}
entity_key_serialization_version: 3
"""


def main(port: str, parquet: str, folder: str) -> None:
    """Write every row of the file."""
    Path(folder).mkdir()
    Path(folder, "feature_store.yaml").write_text(STORE.format(folder=folder, port=port), encoding="utf-8")
    rows = pd.read_parquet(parquet)
    rows["seen_at"] = pd.Timestamp(datetime.now(UTC) - timedelta(hours=1))
    fields = [name for name in rows.columns if name not in ("customer_id", "seen_at")]
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    source = FileSource(path=parquet, timestamp_field="seen_at")
    schema = [Field(name=name, dtype=String) for name in fields]
    view = FeatureView(name="c360", entities=[customer], ttl=timedelta(days=2), schema=schema, source=source)
    store = FeatureStore(repo_path=folder)
    store.apply([customer, view])
    cpu, wall = sum(os.times()[:4]), time.perf_counter()
    store.write_to_online_store("c360", rows)
    seconds, cpu_seconds = time.perf_counter() - wall, sum(os.times()[:4]) - cpu
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "fields": len(fields)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
