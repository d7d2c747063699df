"""Activate: the online side. Publishes profiles and audiences to Redis, and reads them for a shop.

publish_profiles, publish_audience            what the pipeline calls (publisher)
rollback_audience, release_audience,
withdraw_audience                             an operator's moves (rollback)
Reader                                        what a shop developer imports (reader)
EmbeddedRedis                                 the Redis that Weft brings along (embedded_redis)
errors                                        every error is one sentence, an ActivationError
"""

from activation.embedded_redis import EmbeddedRedis
from activation.errors import (
    ActivationError,
    NotPublishedError,
    PublicationError,
    RollbackError,
    StalePublisherError,
    StoreUnavailableError,
)
from activation.publisher import (
    ProfilesReport,
    PublicationReport,
    publish_audience,
    publish_profiles,
    release_audience,
    rollback_audience,
    withdraw_audience,
)
from activation.reader import Reader

__all__ = [
    "ActivationError",
    "EmbeddedRedis",
    "NotPublishedError",
    "ProfilesReport",
    "PublicationError",
    "PublicationReport",
    "Reader",
    "RollbackError",
    "StalePublisherError",
    "StoreUnavailableError",
    "publish_audience",
    "publish_profiles",
    "release_audience",
    "rollback_audience",
    "withdraw_audience",
]
