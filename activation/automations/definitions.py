"""What `automations.yml` says, checked: one sentence for each mistake, without any value of the file but names."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from activation.destinations.config import Column, Name, Strict
from activation.destinations.messages import placeholders
from activation.errors import ActivationError

CHANNELS = ("slack", "discord")
"""Types of destination that post a message."""
TYPES = (*CHANNELS, "webhook")
"""Types of destination that an automation can use."""
OWN_PLACEHOLDERS = ("audience", "coupon", "customer_id")
PREFIX = r"^[A-Z0-9]{0,12}$"


class AutomationError(ActivationError):
    """automations.yml, or a pool of coupons, cannot be used as it is."""


class CouponRule(Strict):
    """A code for every occurrence: from an uploaded `pool`, else `prefix` and `length` letters and digits made from the salt."""

    pool: Name | None = None
    prefix: Annotated[str, Field(pattern=PREFIX)] = ""
    length: Annotated[int, Field(ge=8, le=24)] = 10

    @model_validator(mode="after")
    def _one_source(self) -> "CouponRule":
        if self.pool and {"prefix", "length"} & self.model_fields_set:
            raise ValueError("a pool has its own codes: take out prefix and length")
        return self


class Automation(Strict):
    """One automation.

    `columns`: profile columns that may be told, in the message's placeholders or as the webhook's fields. `while_it_holds`: who has left
    again (or come back) before the message went out is not told. `backfill`: at its first activation it also fires for who is inside.
    """

    name: Name
    audience: Name
    when: Literal["entered", "left"]
    destination: Name
    purpose: Name | None = None
    message: Annotated[str, Field(min_length=1, max_length=1500)] | None = None
    columns: tuple[Column, ...] = ()
    coupon: CouponRule | None = None
    cool_down_days: Annotated[float, Field(ge=0, le=3650)] = 30.0
    expires_after_hours: Annotated[float, Field(gt=0, le=8784)] = 168.0
    while_it_holds: bool = True
    backfill: bool = False
    enabled: bool = True

    @model_validator(mode="after")
    def _fits(self) -> "Automation":
        if self.backfill and self.when == "left":
            raise ValueError(
                "backfill is for `when: entered`: who left before cannot be told apart from who was never in"
            )
        named = placeholders(self.message or "")
        if "coupon" in named and self.coupon is None:
            raise ValueError("the message holds {coupon}, but there is no coupon")
        allowed = (*self.columns, *OWN_PLACEHOLDERS)
        if unknown := [name for name in named if name not in allowed]:
            raise ValueError(f"the message holds {{{unknown[0]}}}, which is none of its columns")
        if taken := [name for name in OWN_PLACEHOLDERS if name in self.columns]:
            raise ValueError(f"columns: {taken[0]} is there by itself; take it out")
        if self.message and self.coupon and "coupon" not in named:
            raise ValueError("there is a coupon, but the message has no {coupon}")
        return self


def load_automations(
    path: Path, *, audiences: Collection[str] | None = None, destinations: Mapping[str, str] | None = None
) -> tuple[Automation, ...]:
    """The automations of a file, none where there is no such file; `destinations`: the type of each by its name.

    Raises AutomationError with a sentence for every mistake.
    """
    if not path.exists():
        return ()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise AutomationError(
            f"{path.name} cannot be read ({type(error).__name__}); see docs/automations.md."
        ) from None
    listed = content.get("automations") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise AutomationError(f"{path.name} needs a list `automations`; see docs/automations.md.")
    found: list[Automation] = []
    mistakes: list[str] = []
    for given in listed:
        try:
            found.append(Automation.model_validate(given))
        except ValidationError as error:
            mistakes += _sentences(given, error)
    names = [each.name for each in found]
    mistakes += [f"{name} is there twice." for name in sorted({name for name in names if names.count(name) > 1})]
    for each in found:
        mistakes += _misfits(each, audiences, destinations)
    if mistakes:
        raise AutomationError(f"{path.name}: {' '.join(mistakes)}")
    return tuple(found)


def missing_columns(automation: Automation, known: Collection[str]) -> list[str]:
    """Columns that the profiles do not have."""
    return [column for column in automation.columns if column not in known]


def _sentences(given: Mapping[Any, Any], error: ValidationError) -> list[str]:
    named = given.get("name") if isinstance(given.get("name"), str) else "an automation"
    if "when" not in given and any(key is True for key in given):
        return [f"{named}: write `when:` instead of `on:`, which YAML reads as yes."]
    said = []
    for each in error.errors(include_url=False, include_input=False):
        field = ".".join(str(part) for part in each["loc"]) or "it"
        why = each["msg"].removeprefix("Value error, ")
        said.append(f"{named}: {field}: {why[0].lower()}{why[1:]}.")
    return said


def _misfits(
    automation: Automation, audiences: Collection[str] | None, destinations: Mapping[str, str] | None
) -> Sequence[str]:
    said = []
    if audiences is not None and automation.audience not in audiences:
        said.append(f"{automation.name}: there is no audience {automation.audience}.")
    if destinations is None:
        return said
    kind = destinations.get(automation.destination)
    if kind is None:
        said.append(f"{automation.name}: destinations.yml has no destination {automation.destination}.")
    elif kind not in TYPES:
        said.append(f"{automation.name}: a destination of the type {kind} takes no events; use {', '.join(TYPES)}.")
    elif kind in CHANNELS and automation.message is None:
        said.append(f"{automation.name}: a {kind} channel needs a message.")
    return said
