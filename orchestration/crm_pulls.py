"""Pulls of the CRM sources that `WEFT_HOME/crm.yml` names: secrets from the environment, cursors from the operator state."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from ingestion.crm.calls import Caller, Clock, CrmError, CrmLaterError
from ingestion.crm.hubspot import HubSpot
from ingestion.crm.pull import Adapter, Pulled, pull
from ingestion.crm.rest import Rest
from ingestion.crm.salesforce import Salesforce
from ingestion.crm.sources import HubSpotSource, SalesforceSource, Source, load_sources
from orchestration.errors import PrivateAddressError, PullError
from orchestration.failpoints import OnStep, failpoints
from orchestration.outbound import outbound_client
from orchestration.resources import Platform
from orchestration.settings import Settings, secret_variable


@dataclass(frozen=True)
class PullReport:
    """What one pull of a source brought; `problem` says why it ended early, `is_later` that the vendor asked for that."""

    source: str
    pulled: Pulled
    problem: str | None = None
    is_later: bool = False

    def sentence(self) -> str:
        """One sentence for a person."""
        counts = f"{self.pulled.contacts:,} contacts in {self.pulled.pages:,} pages"
        deleted = f", {self.pulled.deleted:,} of them deleted" if self.pulled.deleted else ""
        odd = f", {self.pulled.unreadable:,} of them unreadable" if self.pulled.unreadable else ""
        return f"{self.source}: {counts}{deleted}{odd}." + (f" {self.problem}" if self.problem else "")


def configured_sources(settings: Settings) -> tuple[Source, ...]:
    """The sources of crm.yml. Raises CrmError with one sentence."""
    return load_sources(settings.crm_file)


def source_named(settings: Settings, name: str) -> Source:
    """One of them. Raises PullError where there is none of that name."""
    sources = configured_sources(settings)
    found = [source for source in sources if source.name == name]
    if not found:
        known = ", ".join(source.name for source in sources) or "none; see docs/crm.md"
        raise PullError(f"crm.yml has no source '{name}'; it has {known}.")
    return found[0]


def pull_source(
    platform: Platform,
    source: Source,
    *,
    from_start: bool = False,
    clock: Clock = Clock(),  # noqa: B008 - frozen
    on_step: OnStep = failpoints("crm"),
) -> PullReport:
    """Pull one source into the inbox. Raises PullError where it is being pulled already, or the vendor's rest is not over."""
    cursors = platform.state.crm
    with _alone(platform.settings, source.name):
        last = cursors.last_pulls().get(source.name)
        if last and last.not_before and _instant(clock.now()) < last.not_before:
            raise PullError(f"{source.name} wants no request before {last.not_before:%Y-%m-%d %H:%M} UTC.")
        pulled = Pulled()
        problem, not_before = None, None
        try:
            with outbound_client(source.url, allow_private=source.allow_private_address) as client:
                pull(
                    _adapter(source, Caller(client, source.name, clock=clock)),
                    source,
                    cursor={} if from_start else cursors.cursor(source.name, source.kind),
                    inbox=platform.settings.inbox,
                    save=lambda cursor: cursors.move(source.name, source.kind, cursor),
                    on_step=on_step,
                    pulled=pulled,
                )
        except CrmLaterError as later:
            problem, not_before = str(later), _instant(later.not_before)
        except CrmError as error:
            problem = str(error)
        except PrivateAddressError:
            problem = (
                f"{source.name} leads to a private address; set allow_private_address in crm.yml if you want that."
            )
        except OSError as error:
            problem = f"{source.name}: the inbox cannot be written ({error.strerror})."
        now = _instant(clock.now())
        cursors.note(
            source.name, source.kind, contacts=pulled.contacts, problem=problem, not_before=not_before, now=now
        )
    return PullReport(source.name, pulled, problem, is_later=not_before is not None)


def _adapter(source: Source, caller: Caller) -> Adapter:
    if isinstance(source, HubSpotSource):
        return HubSpot(source, caller, token=_secret(source.secret))
    if isinstance(source, SalesforceSource):
        refresh_token = _secret(source.refresh_token) if source.refresh_token else None
        return Salesforce(source, caller, secret=_secret(source.secret), refresh_token=refresh_token)
    return Rest(source, caller, secret=_secret(source.secret))


def _secret(variable: str) -> str:
    value = (secret_variable(variable) or "").strip()
    if not value or not value.isascii() or not value.isprintable():
        raise CrmError(f"The environment variable {variable} that crm.yml names is not set, or is no token.")
    return value


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


@contextmanager
def _alone(settings: Settings, name: str) -> Iterator[None]:
    """One pull of a source at a time; the kernel frees the lock of a process that was killed."""
    folder = settings.home / "crm"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            yield
    except Timeout:
        raise PullError(f"{name} is being pulled right now; wait until that has come to its end.") from None
