"""Checks of what an audience is made of, as Dagster last evaluated them: one that failed as an error holds the audience back."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

BOOKS = dg.AssetKey(["raw", "landings"])
"""No model reads the books of what landed, and they say whether all of it is there."""


@dataclass(frozen=True)
class FailedUpstreamChecks:
    """The last evaluations of one Dagster instance."""

    instance: dg.DagsterInstance

    def __call__(self, audience: str) -> Sequence[str]:
        """`table: check` for every check of the audience's inputs, and of itself, whose last evaluation failed as an error."""
        key = dg.AssetKey(["audiences", audience])
        if not self.asset_graph.has(key):
            key = dg.AssetKey(["audiences", "rule_members"])  # a rule that was written after the code was loaded
        if not self.asset_graph.has(key):
            return []
        inputs = {key, BOOKS, *self.asset_graph.get_ancestor_asset_keys(key)}
        checks = list(self.asset_graph.get_check_keys_for_assets(inputs))
        found = []
        for check, record in self._last(checks).items():
            if record.status is AssetCheckExecutionRecordStatus.FAILED and _is_error(record):
                found.append(f"{'.'.join(check.asset_key.path)}: {check.name}")
        return sorted(found)

    @cached_property
    def asset_graph(self) -> Any:
        """Of all assets: a run knows its own alone."""
        from orchestration.definitions import defs  # noqa: PLC0415 - it imports the assets that ask

        return defs.resolve_asset_graph()

    def _last(self, checks: list[dg.AssetCheckKey]) -> dict[dg.AssetCheckKey, Any]:
        storage = self.instance.event_log_storage
        return dict(storage.get_latest_asset_check_execution_by_key(checks)) if checks else {}


def _is_error(record: Any) -> bool:
    event = record.event.dagster_event if record.event else None
    return event is None or event.asset_check_evaluation_data.severity is dg.AssetCheckSeverity.ERROR
