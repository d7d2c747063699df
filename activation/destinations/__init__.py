"""Destinations: one small adapter a vendor, each behind `activation.syncs.contract.Destination`."""

from activation.destinations import webhook
from activation.destinations.tools import Kind, Tools

KINDS: dict[str, Kind] = {
    "webhook": Kind(webhook.WebhookConfig, webhook.open_webhook),
}
"""Every type of destination, by its name in destinations.yml."""

__all__ = ["KINDS", "Kind", "Tools"]
