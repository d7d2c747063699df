"""Which failed checks hold an audience back: those of what it is made of, as they were evaluated last, where they failed as errors."""

import dagster as dg
import pytest

from orchestration.upstream_checks import FailedUpstreamChecks

OF_CUSTOMERS = dg.AssetCheckKey(dg.AssetKey(["raw", "landings"]), "landing_books_balance")
DOWNSTREAM = dg.AssetCheckKey(
    dg.AssetKey(["control", "audience_versions"]), "every_audience_holds_a_share_of_the_customers"
)


def evaluated(instance: dg.DagsterInstance, check: dg.AssetCheckKey, *, passed: bool, warns: bool = False) -> None:
    severity = dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=check.asset_key, check_name=check.name, passed=passed, metadata={}, severity=severity
        )
    )


@pytest.mark.usefixtures("manifest")
def test_the_last_word_of_a_check_of_the_inputs_counts_and_a_warning_holds_nothing_back() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        failed = FailedUpstreamChecks(instance)
        assert failed("high_value") == []
        evaluated(instance, DOWNSTREAM, passed=False)
        evaluated(instance, OF_CUSTOMERS, passed=False, warns=True)
        assert failed("high_value") == []
        evaluated(instance, OF_CUSTOMERS, passed=False)
        assert failed("high_value") == failed("a_rule_of_today") == ["raw.landings: landing_books_balance"]
        evaluated(instance, OF_CUSTOMERS, passed=True)
        assert failed("high_value") == []
