"""Stand-ins for vendors that enforce the vendors' own rules, for tests and for people (`weft fake-destination`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from activation.fake_destinations import discord, google, hubspot, meta, rest, salesforce, slack, webhook
from activation.fake_destinations.vendor import Timepiece, Vendor


@dataclass(frozen=True)
class Fake:
    """A stand-in that people can start: `make` with a clock, `variables` to set with its URL as `{url}`, and its part of
    destinations.yml (again with `{url}`)."""

    make: Callable[[Timepiece], Vendor]
    variables: Mapping[str, str]
    example: str
    teaches: str = field(default="")
    """What it insists on, in a line."""


_HEAD = (
    "destinations:\n  - name: {kind}\n    type: {kind}\n    audiences: [high_value]\n    purposes: [advertising]\n"
    "    allow_private_address: true\n"
)

_ADVERTISING = _HEAD.replace("[advertising]", "[advertising, sharing]")

FAKES: dict[str, Fake] = {
    "discord": Fake(
        discord.Discord,
        {"DISCORD_WEBHOOK": "{url}" + discord.PATH},
        _HEAD + "    url: {env: DISCORD_WEBHOOK}\n",
        "5 messages in 2 s, 2,000 characters, mentions unless they are forbidden",
    ),
    "google": Fake(
        google.Google,
        {
            "GOOGLE_REFRESH_TOKEN": google.REFRESH_TOKEN,
            "GOOGLE_CLIENT_SECRET": google.CLIENT_SECRET,
            "GOOGLE_CLIENT_ID": google.CLIENT_ID,
        },
        _ADVERTISING + "    api_url: {url}\n    token_url: {url}/token\n"
        f"    account_id: '{google.ACCOUNT}'\n    audience_ids: {{high_value: '{google.AUDIENCE}'}}\n    accepted_terms: customer-match\n"
        "    refresh_token: {env: GOOGLE_REFRESH_TOKEN}\n    client_id: {env: GOOGLE_CLIENT_ID}\n"
        "    client_secret: {env: GOOGLE_CLIENT_SECRET}\n    fields: {email: email, phone: phone}\n",
        "OAuth, SHA-256 in hex by Google's rules, 10,000 members, consent and terms, whole requests refused with the rows named",
    ),
    "hubspot": Fake(
        hubspot.HubSpot,
        {"HUBSPOT_TOKEN": hubspot.TOKEN},
        _HEAD
        + "    url: {url}\n    token: {env: HUBSPOT_TOKEN}\n    membership: weft_member\n    key_property: weft_customer_id\n",
        "bearer token, 100 rows, 100 requests in 10 s, unknown properties, 207 with the rows that failed",
    ),
    "meta": Fake(
        meta.Meta,
        {"META_ACCESS_TOKEN": meta.TOKEN},
        _ADVERTISING + "    api_url: {url}\n    access_token: {env: META_ACCESS_TOKEN}\n"
        f"    audience_ids: {{high_value: '{meta.AUDIENCE}'}}\n    fields: {{EMAIL: email, PHONE: phone}}\n",
        "token in the body, SHA-256 in hex by Meta's rules, 10,000 users, terms, limits told in the usage header, invalid entries",
    ),
    "rest": Fake(
        rest.Rest,
        {"REST_TOKEN": rest.TOKEN},
        _HEAD
        + "    url: {url}\n    auth: {secret: {env: REST_TOKEN}}\n    idempotency_header: Idempotency-Key\n    remote_id: id\n"
        "    fields: {email: email}\n"
        '    upsert: {method: PUT, path: "/v1/members/{key}", body: {email: "{email}", audience: "{audience}"}}\n'
        '    remove: {method: DELETE, path: "/v1/members/{key}", gone: [404]}\n',
        "bearer token, 50 rows, 100 requests a second, keys of idempotency",
    ),
    "salesforce": Fake(
        salesforce.Salesforce,
        {"SALESFORCE_SECRET": salesforce.SECRET},
        _HEAD + f"    url: {{url}}\n    client_id: {salesforce.CLIENT_ID}\n"
        "    client_secret: {env: SALESFORCE_SECRET}\n    membership: Weft_Member__c\n"
        "    fields: {LastName: customer_id, Email: email}\n",
        "OAuth, 200 rows, external id, required and unknown fields, sessions that end",
    ),
    "slack": Fake(
        slack.Slack,
        {"SLACK_WEBHOOK": "{url}" + slack.PATH},
        _HEAD + "    url: {env: SLACK_WEBHOOK}\n",
        "1 message a second, blocks of 3,000 characters",
    ),
    "webhook": Fake(
        webhook.Webhook,
        {"WEBHOOK_SECRET": webhook.SECRET},
        _HEAD
        + "    url: {url}"
        + webhook.PATH
        + "\n    secrets: [{env: WEBHOOK_SECRET}]\n    fields: {email: email}\n",
        "signature, time, 100 requests a second, keys of idempotency, newest sequence",
    ),
}

__all__ = ["FAKES", "Fake", "Timepiece", "Vendor"]
