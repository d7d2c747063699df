"""Who a rule is about, in plain Python from its JSON and docs/audience-rules.md alone: no tree, no SQL, nothing of the compiler."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
DAY = timedelta(days=1)


class Oracle:
    """A population at an instant: `profiles` by customer, the events of all, and the members of other audiences."""

    def __init__(
        self, profiles: Sequence[Row], events: Sequence[Row], audiences: Mapping[str, set[str]], as_of: datetime
    ) -> None:
        self.profiles = profiles
        self.audiences = audiences
        self.as_of = as_of
        past = [event for event in events if event["customer_id"] is not None and event["occurred_at"] < as_of]
        ordered = sorted(past, key=lambda event: (event["occurred_at"], event["landed_seq"]))
        self.events = {
            profile["customer_id"]: [event for event in ordered if event["customer_id"] == profile["customer_id"]]
            for profile in profiles
        }

    def members(self, rule: Any) -> set[str]:
        """Ids of the customers for whom the rule holds."""
        return {profile["customer_id"] for profile in self.profiles if self.holds(rule, profile)}

    def holds(self, rule: Any, profile: Row) -> bool:  # noqa: PLR0911 (one line for each kind)
        """Whether the rule holds for one customer."""
        if "all" in rule:
            return all(self.holds(child, profile) for child in rule["all"])
        if "any" in rule:
            return any(self.holds(child, profile) for child in rule["any"])
        if "none" in rule:
            return not any(self.holds(child, profile) for child in rule["none"])
        if "attribute" in rule:
            return self.condition(rule, profile[rule["attribute"]])
        if "audience" in rule:
            return profile["customer_id"] in self.audiences[rule["audience"]]
        if "event" in rule:
            return self.count(rule, self.events[profile["customer_id"]])
        if "sequence" in rule:
            return self.sequence(rule, self.events[profile["customer_id"]])
        return self.short_form(rule, profile)

    def short_form(self, rule: Any, profile: Row) -> bool:
        spent, seen = profile["net_revenue"], profile["last_seen_at"]
        if "min_total_spend" in rule and (spent is None or spent < Decimal(str(rule["min_total_spend"]))):
            return False
        if "days_since_last_event" not in rule:
            return True
        return seen is not None and seen <= self.as_of - rule["days_since_last_event"] * DAY

    def condition(self, asked: Any, value: Any) -> bool:  # noqa: PLR0911 (one line for each question)
        """One question about one value; a missing value meets is_null, ne and not_in."""
        operator, wanted = asked["op"], asked.get("value")
        if operator == "is_null":
            return value is None
        if operator == "is_not_null":
            return value is not None
        if operator == "ne":
            return not self.condition({"op": "eq", "value": wanted}, value)
        if operator == "not_in":
            return not self.condition({"op": "in", "value": wanted}, value)
        if value is None:
            return False
        if isinstance(value, date):
            return self.instant(operator, wanted, value)
        if isinstance(value, str):
            return _text(operator, wanted, value)
        if operator == "in":
            return any(_same(each, value) for each in wanted)
        if operator == "between":
            return bool(_number(wanted[0], value) <= value <= _number(wanted[1], value))
        right = _number(wanted, value)
        found = {"eq": value == right, "lt": value < right, "lte": value <= right, "gt": value > right}
        return bool({**found, "gte": value >= right}[operator])

    def instant(self, operator: str, wanted: Any, value: date) -> bool:
        """A date stands for its whole day."""
        at = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        if operator == "within_last_days":
            return self.as_of - wanted * DAY <= at <= self.as_of
        if operator == "at_least_days_ago":
            return at <= self.as_of - wanted * DAY
        if operator == "between":
            return not _before(at, wanted[0]) and not _after(at, wanted[1])
        return {
            "eq": not _before(at, wanted) and not _after(at, wanted),
            "lt": _before(at, wanted),
            "lte": not _after(at, wanted),
            "gt": _after(at, wanted),
            "gte": not _before(at, wanted),
        }[operator]

    def matches(self, asked: Any, event: Row) -> bool:
        names = asked["event"] if isinstance(asked["event"], list) else [asked["event"]]
        filters = asked.get("where", [])
        return event["event"] in names and all(self.condition(each, event[each["property"]]) for each in filters)

    def in_window(self, asked: Any, event: Row) -> bool:
        if "within_last_days" in asked:
            return bool(event["occurred_at"] >= self.as_of - asked["within_last_days"] * DAY)
        if "between" in asked:
            first, last = asked["between"]
            return bool(first <= event["occurred_at"].date().isoformat() <= last)
        return True

    def count(self, asked: Any, events: Sequence[Row]) -> bool:
        found = [event for event in events if self.matches(asked, event) and self.in_window(asked, event)]
        number = len(found)
        if "distinct" in asked:
            number = len({event[asked["distinct"]] for event in found} - {None})
        if "at_most" in asked:
            return number <= asked["at_most"]
        if "exactly" in asked:
            return number == asked["exactly"]
        return number >= asked.get("at_least", 1)

    def sequence(self, asked: Any, events: Sequence[Row]) -> bool:
        """Tries every choice of events for the steps that are not negated."""
        steps = asked["sequence"]
        last = max(index for index, step in enumerate(steps) if not step.get("not"))

        def from_(step: int, place: int) -> bool:
            """Whether the steps after `step`, which is the event at `place`, can be met."""
            here = events[place]
            if step == last:
                return self.in_window(asked, here) and all(
                    self.nothing_follows(each, place, events) for each in steps[last + 1 :]
                )
            after = next(index for index in range(step + 1, len(steps)) if not steps[index].get("not"))
            unwanted = steps[step + 1 : after]
            for later in range(place + 1, len(events)):
                event = events[later]
                limit = _limit(steps[after])
                if limit is not None and event["occurred_at"] - here["occurred_at"] > limit:
                    continue
                between = events[place + 1 : later]
                if any(self.matches(each, other) for each in unwanted for other in between):
                    continue
                if self.matches(steps[after], event) and from_(after, later):
                    return True
            return False

        return any(self.matches(steps[0], event) and from_(0, place) for place, event in enumerate(events))

    def nothing_follows(self, step: Any, place: int, events: Sequence[Row]) -> bool:
        limit, start = _limit(step), events[place]["occurred_at"]
        following = [event for event in events[place + 1 :] if self.matches(step, event)]
        if limit is None:
            return not following
        return start + limit < self.as_of and not any(event["occurred_at"] <= start + limit for event in following)


def _limit(step: Any) -> timedelta | None:
    if "within_days" in step:
        return timedelta(days=step["within_days"])
    return timedelta(hours=step["within_hours"]) if "within_hours" in step else None


def _text(operator: str, wanted: Any, value: str) -> bool:
    if operator == "in":
        return value in wanted
    if operator == "has_any":
        return any(each in value.split(",") for each in wanted)
    return {"eq": value == wanted, "contains": str(wanted) in value, "starts_with": value.startswith(str(wanted))}[
        operator
    ]


def _number(wanted: Any, value: Any) -> Any:
    """The number as a value of the column's type."""
    if isinstance(value, Decimal):
        return Decimal(str(wanted))
    return float(wanted) if isinstance(value, float) else wanted


def _same(wanted: Any, value: Any) -> bool:
    return bool(_number(wanted, value) == value)


def _before(at: datetime, wanted: str) -> bool:
    return at.date().isoformat() < wanted if len(wanted) == 10 else at < _instant(wanted)


def _after(at: datetime, wanted: str) -> bool:
    return at.date().isoformat() > wanted if len(wanted) == 10 else at > _instant(wanted)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z"))
