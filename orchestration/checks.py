"""Asset checks that SQL tests cannot express: each is a statement that is true when it passes."""

from typing import Any

import dagster as dg

from orchestration.collecting import inbox_problems
from orchestration.errors import NothingServedError
from orchestration.log_checks import LOG_CHECKS
from orchestration.membership_checks import MEMBERSHIP_CHECKS
from orchestration.model_checks import MODEL_CHECKS
from orchestration.resources import Platform
from orchestration.transform import audience_definitions, read_manifest
from orchestration.warehouse import row_count, scalar

MINIMUM_PRECISION = 0.99


@dg.asset_check(asset=["raw", "landings"])
def landing_books_balance(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """Every row of every landed file was accepted, rejected, a duplicate or a conflict, and every accepted event is there."""
    with platform.warehouse.writer() as connection:
        unbalanced = scalar(
            connection,
            "select count(*) from raw.landings where rows_read <> accepted + rejected + duplicates + conflicts",
        )
    return dg.AssetCheckResult(passed=unbalanced == 0, metadata={"unbalanced_files": unbalanced})


@dg.asset_check(asset=["raw", "landings"])
def every_inbox_file_landed(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """No file of the inbox was refused as a whole (no mapping of its folder's name, columns missing, not readable)."""
    problems = inbox_problems(platform.state)
    return dg.AssetCheckResult(
        passed=not problems, severity=dg.AssetCheckSeverity.WARN, metadata={"files": len(problems), **problems}
    )


@dg.asset_check(asset=["identity", "quality"])
def identity_precision_is_high(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """Pairwise precision against the simulator's truth is at least .99; passes where there is no truth to compare with."""
    with platform.warehouse.writer() as connection:
        weft = connection.arrow("select * from identity.quality where method = 'weft'").to_pylist()
    return judged_precision(weft[0] if weft else None)


def judged_precision(weft: dict[str, Any] | None) -> dg.AssetCheckResult:
    """The check's answer for Weft's row of identity.quality, None where there is none."""
    if weft is None or weft["pairwise_precision"] is None:
        return dg.AssetCheckResult(passed=True, description="There is no truth to compare with.")
    return dg.AssetCheckResult(
        passed=weft["pairwise_precision"] >= MINIMUM_PRECISION,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={name: value for name, value in weft.items() if value is not None},
    )


@dg.asset_check(asset=["control", "audience_versions"])
def every_audience_holds_a_share_of_the_customers(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """No audience is larger than its guard `max_share` allows."""

    shares = {}
    too_large = []
    try:
        with platform.warehouse.open_served() as served:
            customers = row_count(served, "customer_360.customers")
            for definition in audience_definitions(read_manifest()):
                members = row_count(served, f"audiences.{definition.name}")
                shares[definition.name] = members / customers if customers else 0.0
                if shares[definition.name] > definition.meta.get("guards", {}).get("max_share", 1.0):
                    too_large.append(definition.name)
    except NothingServedError as error:
        return dg.AssetCheckResult(passed=False, description=str(error))
    return dg.AssetCheckResult(passed=not too_large, severity=dg.AssetCheckSeverity.WARN, metadata=shares)


CHECKS = [
    landing_books_balance,
    every_inbox_file_landed,
    *LOG_CHECKS,
    identity_precision_is_high,
    *MODEL_CHECKS,
    every_audience_holds_a_share_of_the_customers,
    *MEMBERSHIP_CHECKS,
]
