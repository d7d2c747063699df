"""Destinations: one small adapter a vendor, each behind `activation.syncs.contract.Destination`."""

from activation.destinations import discord, export, google, hubspot, meta, rest, salesforce, slack, webhook
from activation.destinations.tools import Kind, Tools

KINDS: dict[str, Kind] = {
    "csv": Kind(export.CsvConfig, export.open_csv),
    "discord": Kind(discord.DiscordConfig, discord.open_discord),
    "google": Kind(google.GoogleConfig, google.open_google),
    "hubspot": Kind(hubspot.HubSpotConfig, hubspot.open_hubspot),
    "meta": Kind(meta.MetaConfig, meta.open_meta),
    "parquet": Kind(export.ParquetConfig, export.open_parquet),
    "rest": Kind(rest.RestConfig, rest.open_rest),
    "salesforce": Kind(salesforce.SalesforceConfig, salesforce.open_salesforce),
    "slack": Kind(slack.SlackConfig, slack.open_slack),
    "webhook": Kind(webhook.WebhookConfig, webhook.open_webhook),
}
"""Every type of destination, by its name in destinations.yml."""

__all__ = ["KINDS", "Kind", "Tools"]
