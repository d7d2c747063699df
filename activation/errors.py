"""What can go wrong in activation: each error is one sentence to act on, without credentials or personal data."""


class ActivationError(ValueError):
    """Any mistake or outage that activation reports in one sentence."""


class PublicationError(ActivationError):
    """Redis could not take a publication; what was readable before it stays readable."""


class StalePublisherError(PublicationError):
    """A publisher with an older build or version tried to replace a newer publication."""


class NotPublishedError(ActivationError):
    """Redis holds no usable publication of what was asked for; it is never answered as "not a member"."""


class FeaturesNotPublishedError(NotPublishedError):
    """Redis holds no features of customers, or not those that a model asks for."""


class StoreUnavailableError(ActivationError):
    """Redis did not answer a reader, or refused it."""


class RollbackError(ActivationError):
    """The version asked for is not kept in Redis, or its set is damaged."""


class AudienceChangedError(ActivationError):
    """The version being paged through is no longer kept; start again from the first page."""


class EmbeddedRedisError(ActivationError):
    """The Redis that Weft brings along could not be found, started or reached."""
