"""The publishing side of activation, in one place to import from."""

from activation.audience_publisher import PublicationReport, publish_audience
from activation.profile_publisher import ProfilesReport, publish_profiles
from activation.rollback import release_audience, rollback_audience, withdraw_audience

__all__ = [
    "ProfilesReport",
    "PublicationReport",
    "publish_audience",
    "publish_profiles",
    "release_audience",
    "rollback_audience",
    "withdraw_audience",
]
