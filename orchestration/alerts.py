"""Tell a webhook about failed runs: once each, in one sentence that names no person."""

from typing import Any

import dagster as dg

from orchestration.errors import WebhookError
from orchestration.resources import Platform
from orchestration.state import utc_now
from orchestration.webhooks import post_json


def remember_failure(platform: Platform, run: dg.DagsterRun, failed_steps: list[dg.DagsterEvent]) -> None:
    """Put the alert of a failed run into the outbox; a run that was put there before is not put again."""
    platform.state.alerts.add(run.run_id, _alert(platform, run, failed_steps), now=utc_now())


def tell_due(platform: Platform) -> str:
    """Post what is due, until the receiver refuses; returns one sentence. Does nothing where no webhook is set.

    A receiver that dies between taking an alert and answering may get it again, under the same Idempotency-Key.
    """
    webhook = platform.settings.alert_webhook
    if not webhook:
        return "WEFT_ALERT_WEBHOOK is not set."
    told = 0
    for alert in platform.state.alerts.due(utc_now()):
        try:
            post_json(
                webhook.get_secret_value(),
                alert.body,
                headers={"Idempotency-Key": alert.run_id},
                allow_private=platform.settings.allow_private_webhooks,
            )
        except WebhookError as problem:
            platform.state.alerts.not_told(alert, now=utc_now())
            return f"{problem} {told} alerts were told, the next try follows."
        platform.state.alerts.told(alert)
        told += 1
    return f"{told} alerts were told." if told else "There is nothing to tell."


def _alert(platform: Platform, run: dg.DagsterRun, failed_steps: list[dg.DagsterEvent]) -> dict[str, Any]:
    """Messages of errors may quote a row, so that only the kind of an error is told; the rest is behind the link."""
    step, kind = None, None
    for event in failed_steps[:1]:
        step, error = event.step_key, event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        kind = error.cls_name if error else None
    sentence = f"{run.job_name} failed before its first step or was killed."
    if step:
        sentence = f"{run.job_name} failed in the step {step}{f' ({kind})' if kind else ''}."
    return {
        "job": run.job_name,
        "run_id": run.run_id,
        "failed_step": step,
        "sentence": sentence,
        "link": f"http://127.0.0.1:{platform.settings.dagster_port}/runs/{run.run_id}",
    }
