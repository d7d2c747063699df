"""The purposes that a person can consent to, and the word for an audience that needs no consent."""

PURPOSES = ("analytics", "personalisation", "advertising", "sharing")
"""Columns has_consent_<purpose> of customer_360.customers."""

NO_CONSENT_NEEDED = "none"
"""As an audience's consent_purpose, beside a legal_basis in words."""
