"""What a pass publishes at its end: also audiences that came after the code was loaded, such as rules, each in its own job."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import dagster as dg
import pytest

from activation import EmbeddedRedis
from tests.orchestration.audience_shop import shop_at

KNOWN, NEW = "high_value", "made_this_morning"


@pytest.mark.usefixtures("manifest")
def test_a_pass_publishes_audiences_that_came_after_the_code_was_loaded(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from orchestration import definitions, passes

    asked: list[tuple[str, str | None]] = []

    def job_of(name: str) -> Any:
        def execute(*, partition_key: str | None, **_: Any) -> Any:
            asked.append((name, partition_key))
            return SimpleNamespace(success=True)

        return SimpleNamespace(execute_in_process=execute)

    with (
        EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server,
        dg.DagsterInstance.ephemeral() as instance,
        shop_at(tmp_path / "home", server, instance) as shop,
        patch.object(definitions.defs, "resolve_job_def", job_of),
        patch.object(passes, "_report", lambda _: passes.PassReport("")),
        patch.object(passes, "_publication", lambda _: "published"),
    ):
        shop.define(**{KNOWN: {}, NEW: {}})
        shop.customers = {"c1": 1, "c2": 2}
        shop.build(**{KNOWN: {"c1"}, NEW: {"c2"}})
        report = passes.PassReport("")
        passes.publish_changes(shop.platform, instance, report)
    assert sorted(asked, key=str) == [("publish", None), ("publish", None), ("publish_other", NEW)]
    assert report.published == ["published"] * 3
