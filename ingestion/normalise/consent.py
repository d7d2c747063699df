"""What a person allowed, in Weft's four purposes, from the categories that consent tools and Segment's SDKs name."""

import re
from collections.abc import Mapping
from typing import Any

# ingestion/mappings/segment.yml has the same patterns; tests/ingestion/normalise/test_segment_files.py compares what they give
PURPOSES: Mapping[str, re.Pattern[str]] = {
    "analytics": re.compile(r"analytics?|analytical|performance|statistics?|measurement|c0002", re.I),
    "personalisation": re.compile(
        r"personali[sz]ation|personali[sz]ed|functional|functionality|preferences?|experience|c0003", re.I
    ),
    "advertising": re.compile(r"advertising|advertisements?|ads?|marketing|targeting|remarketing|c0004", re.I),
    "sharing": re.compile(
        r"(data[ _-]?)?sharing|(data[ _-]?)?sale|sale[ _-]?of[ _-]?data|third[ _-]?part(y|ies)", re.I
    ),
}
_NO_SALE = {"advertising": False, "sharing": False}
_NOTHING_ALLOWED = dict.fromkeys(PURPOSES, False)


def consent_of(context: Mapping[str, Any], facts: Mapping[str, str]) -> dict[str, bool] | None:
    """Purpose to allowed, from `context.consent.categoryPreferences` and the request's `Sec-GPC`; None where neither says anything.

    Preferences say all: a purpose of which no category is allowed is not allowed. Global Privacy Control outranks them. Categories
    that are none of the purposes stay in the context and mean nothing here.
    """
    given = context.get("consent")
    preferences = given.get("categoryPreferences") if isinstance(given, dict) else None
    consent = None
    if isinstance(preferences, dict):
        consent = _NOTHING_ALLOWED.copy()
        for category, is_allowed in preferences.items():
            if is_allowed is True:
                consent |= {purpose: True for purpose, named in PURPOSES.items() if named.fullmatch(category.strip())}
    if facts.get("gpc") == "1":
        consent = (consent or {}) | _NO_SALE
    return consent
