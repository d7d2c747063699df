"""Who defines audiences by rules: previews, saves and deletes, for the command line, and for the API as its AudienceAuthor."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from activation.api.settings import DefinedInSqlError, InvalidRuleError, UnknownAudienceError
from activation.api.settings import Preview as ApiPreview
from activation.errors import ActivationError, StoreUnavailableError
from activation.rollback import withdraw_audience
from activation.rules import RuleError
from activation.rules.tree import audiences_named
from orchestration.audience_catalogue import audiences
from orchestration.audience_rules import Definition, SavedRule
from orchestration.errors import RuleConflictError, UnknownRuleError, WeftError
from orchestration.limited_reading import limited_reading
from orchestration.publishing import online_store
from orchestration.resources import Platform
from orchestration.rule_audiences import Preview, preview, readable_trees
from orchestration.rule_definitions import check_definition, inside, read_definition
from orchestration.state import utc_now
from orchestration.transform import prepare_manifest
from orchestration.warehouse import NEWEST_BUILD, Connection, first_row


class RuleAuthor:
    """The rules of one installation, checked against the build that readers see, on a connection with limits."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def preview(self, rule: Any) -> Preview:
        """What a rule would give on the newest build. Raises RuleError, PreviewError, NothingServedError."""
        prepare_manifest(self._platform.settings)
        with limited_reading(self._platform.warehouse) as served:
            return preview(served, rule, as_of_build(served), state=self._platform.state)

    def save(self, definition: Definition, *, by: str) -> SavedRule:
        """Keep a definition; the revision in force where it says the same. Raises RuleError, RuleConflictError, NothingServedError."""
        prepare_manifest(self._platform.settings)
        with limited_reading(self._platform.warehouse) as served:
            check_definition(served, self._platform.state, definition)
        return self._platform.state.rules.save(definition, by=by, now=utc_now())

    def delete(self, name: str, *, by: str) -> int | None:
        """Take a rule out of force and out of Redis: how many versions went there; None where Redis does not answer.

        Raises UnknownRuleError, and RuleConflictError where another rule asks for its members.
        """
        state = self._platform.state
        prepare_manifest(self._platform.settings)
        if state.rules.get(name) is None:
            raise UnknownRuleError(f"There is no rule {name}; `weft audience rules` lists them.")
        with limited_reading(self._platform.warehouse) as served:
            trees = readable_trees(served, state)
        users = [other for other, tree in trees.items() if other != name and name in audiences_named(tree)]
        if users:
            raise RuleConflictError(f"{', '.join(users)} asks for the members of {name}; change that first.")
        state.rules.delete(name, by=by, now=utc_now())
        if any(each.name == name for each in audiences(state)):
            return 0  # an SQL file of this name has taken the audience over
        try:
            with online_store(self._platform.settings) as client:
                return withdraw_audience(client, name)
        except StoreUnavailableError:
            return None


class ApiAuthor:
    """RuleAuthor in the words of the API."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._author = RuleAuthor(platform)

    def preview(self, definition: Mapping[str, Any]) -> ApiPreview:
        """Evaluate the rule of a definition on the newest build and keep nothing."""
        with _answers():
            if "rule" not in definition:
                raise InvalidRuleError(["$.rule: is missing."])
            try:
                found = self._author.preview(definition["rule"])
            except RuleError as error:
                raise InvalidRuleError([str(problem) for problem in inside(error, "$.rule")]) from None
        return ApiPreview(found.size, found.share, found.sample, found.as_of)

    def save(self, definition: Mapping[str, Any], *, by: str) -> int:
        """Keep a definition as the audience of its name; returns its revision, which is the old one where nothing changed."""
        with _answers():
            return self._author.save(read_definition(definition), by=by).revision

    def delete(self, name: str, *, by: str = "api") -> None:
        """Forget an audience that is a rule, and take it out of Redis."""
        self._check_is_rule(name)
        with _answers():
            self._author.delete(name, by=by)

    def rebuild(self, name: str, *, by: str) -> datetime:
        """Ask for the rules to be built now: the sensor `rules_asked_for` starts the run. When it was asked for (naive UTC)."""
        self._check_is_rule(name)
        now = utc_now()
        self._platform.state.remember(REBUILD_ASKED_AT, now.isoformat())
        return now

    def _check_is_rule(self, name: str) -> None:
        kinds = {each.name: each.kind for each in audiences(self._platform.state)}
        if name not in kinds:
            raise UnknownAudienceError("There is no audience of this name.")
        if kinds[name] == "sql":
            raise DefinedInSqlError(f"{name} is an SQL file of the dbt project: it is changed there.")


REBUILD_ASKED_AT = "rules_asked_for"
"""The setting of the installation that says when somebody last asked for the rules to be built at once."""


def as_of_build(served: Connection) -> datetime:
    """The instant that the newest build of a served warehouse looks back from."""
    build = first_row(served, NEWEST_BUILD)
    assert build is not None, "a served build has its row in control.builds"
    instant: datetime = build[1]
    return instant


@contextmanager
def _answers() -> Iterator[None]:
    try:
        yield
    except RuleError as error:
        raise InvalidRuleError([str(problem) for problem in error.problems]) from None
    except UnknownRuleError as error:
        raise UnknownAudienceError(str(error)) from None
    except RuleConflictError as error:
        raise InvalidRuleError([str(error)]) from None
    except WeftError as error:
        raise ActivationError(str(error)) from None
