"""What can go wrong that a person can mend: each error's text is one sentence that says what is wrong and what to do."""


class WeftError(Exception):
    """The command line prints it without a traceback and exits with 2."""


class SettingsError(WeftError, ValueError):
    """A setting cannot be used."""


class BuildError(WeftError, RuntimeError):
    """dbt could not build the models; its own output says why."""


class PassError(WeftError, RuntimeError):
    """A pass or a publication failed; what was good before stands."""


class RegistryError(WeftError, LookupError):
    """The registry of models has no such version, or what is asked of it cannot be."""


class DecisionError(WeftError, ValueError):
    """A decision about identity cannot come into force, or names what there is not."""


class UnknownIdentifierError(WeftError, LookupError):
    """No event of the served build carries the identifier."""


class UnknownAudienceError(WeftError, LookupError):
    """No audience has the name."""


class BackfillError(WeftError, ValueError):
    """Days cannot be backfilled."""


class WebhookError(WeftError, RuntimeError):
    """A webhook may not be called, or did not take what was sent; the sentence never names its address."""


class PrivateAddressError(WeftError, ValueError):
    """An address that a person configured leads to this machine or into its network."""


class PullError(WeftError, RuntimeError):
    """A pull of CRM contacts cannot be made."""


class DestinationError(WeftError, ValueError):
    """destinations.yml cannot be used, or a sync of it cannot be made."""


class SyncBusyError(DestinationError):
    """Another process sends to this destination right now."""


class ReplayError(WeftError, LookupError):
    """No refused row, or more than one, is what was named."""


class ApiKeyError(WeftError, ValueError):
    """A write key cannot be made, or is not the one key that was named."""


class AudienceError(WeftError, ValueError):
    """The definition of an audience says something that cannot be used."""


class NothingServedError(WeftError, LookupError):
    """There is no whole build to read yet."""


class WarehouseError(WeftError, ConnectionError):
    """The warehouse cannot be reached."""


class ServiceError(WeftError):
    """A service could not be started or ended by itself."""


class RuleConflictError(WeftError, RuntimeError):
    """Two people changed one rule at the same moment."""


class UnknownRuleError(WeftError, LookupError):
    """There is no rule of this name in force."""


class PreviewError(WeftError, RuntimeError):
    """A preview was stopped: it took too long or too much memory."""


class GateError(WeftError):
    """It cannot be told who may be published, or what is asked of the gate cannot be: then nobody is."""


class ExportError(WeftError, ValueError):
    """A rule cannot be written where it was asked to be."""
