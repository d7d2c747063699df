"""Conditions on events, from JSON: how many in a window, and which after which."""

from datetime import timedelta
from typing import Any, cast

from activation.rules.columns import Column, Known
from activation.rules.problems import Problems, allowed, kind_of, shown
from activation.rules.tree import ALWAYS, Ago, Condition, EventCount, EventMatch, Sequence, Step, Window
from activation.rules.values import MOST_DAYS, day, read_condition, whole_number

MOST_COUNT = 1_000_000
MOST_NAMES = 20
MOST_FILTERS = 10
MOST_STEPS = 6
MOST_EVENT_CONDITIONS = 30
MOST_SEQUENCES = 10
LONGEST_NAME = 200
COMPARISONS = ("at_least", "at_most", "exactly")
WINDOWS = ("within_last_days", "between")


class EventParser:
    """Reads both kinds of conditions on events and counts them."""

    def __init__(self, known: Known, problems: Problems) -> None:
        self.known = known
        self.problems = problems
        self.counts = 0
        self.sequences = 0

    def count(self, given: dict[str, Any], path: str) -> EventCount | None:
        """{"event": …, "where": […], "at_least": n, "distinct": column, "within_last_days": n}; None (and a problem) where it is none."""
        self.counts += 1
        if self.counts == MOST_EVENT_CONDITIONS + 1:
            self.problems.add(
                path, f"a rule may count {MOST_EVENT_CONDITIONS} kinds of events, and this one counts more."
            )
        before = len(self.problems.found)
        self.problems.only(given, path, ("event", "where", "distinct", *COMPARISONS, *WINDOWS))
        match = self._match(given, path)
        distinct = self._property(given["distinct"], f"{path}.distinct") if "distinct" in given else None
        said = [key for key in COMPARISONS if key in given]
        number: int | None = 1
        if len(said) > 1:
            self.problems.add(path, f"takes one of {', '.join(COMPARISONS)}, and this has {' and '.join(said)}.")
        elif said:
            number = whole_number(given[said[0]], f"{path}.{said[0]}", self.problems, least=0, most=MOST_COUNT)
        window = self._window(given, path)
        if len(self.problems.found) > before or match is None or number is None:
            return None
        return EventCount(path, match, distinct, cast(Any, said[0] if said else "at_least"), number, window)

    def sequence(self, given: dict[str, Any], path: str) -> Sequence | None:
        """{"sequence": [steps], "within_last_days": n}; None (and a problem) where it is none."""
        self.sequences += 1
        if self.sequences == MOST_SEQUENCES + 1:
            self.problems.add(path, f"a rule may have {MOST_SEQUENCES} sequences, and this one has more.")
        before = len(self.problems.found)
        self.problems.only(given, path, ("sequence", *WINDOWS))
        window = self._window(given, path)
        steps, here = given["sequence"], f"{path}.sequence"
        if not isinstance(steps, list) or not 2 <= len(steps) <= MOST_STEPS:
            what = f"{len(steps):,}" if isinstance(steps, list) else kind_of(steps)
            self.problems.add(here, f"takes a list of 2 to {MOST_STEPS} steps, not {what}.")
            return None
        found = [self._step(step, f"{here}[{index}]", index) for index, step in enumerate(steps)]
        if len(self.problems.found) > before:
            return None
        read = tuple(step for step in found if step is not None)
        for index, step in enumerate(read):
            is_between = step.is_negated and any(not later.is_negated for later in read[index + 1 :])
            if is_between and step.within_minutes is not None:
                sentence = (
                    'holds from the step before to the step after it: put its time limit on that one ("within_days").'
                )
                self.problems.add(f"{here}[{index}]", f"a step with not between two others {sentence}")
        return Sequence(path, read, window) if len(self.problems.found) == before else None

    def _step(self, given: Any, path: str, index: int) -> Step | None:
        if not isinstance(given, dict):
            self.problems.add(path, f'takes an object such as {{"event": "Order Completed"}}, not {kind_of(given)}.')
            return None
        self.problems.only(given, path, ("event", "where", "not", "within_days", "within_hours"))
        match = self._match(given, path)
        negated = given.get("not", False)
        if not isinstance(negated, bool):
            self.problems.add(f"{path}.not", f"takes true or false, not {kind_of(negated)}.")
            return None
        limits = [key for key in ("within_days", "within_hours") if key in given]
        if index == 0 and (negated or limits):
            what = "not" if negated else limits[0]
            self.problems.add(path, f"the first step takes no {what}: there is no step before it.")
        if len(limits) > 1:
            self.problems.add(path, "takes within_days or within_hours, not both.")
        minutes = None
        if limits:
            each, most = (24 * 60, MOST_DAYS) if limits[0] == "within_days" else (60, MOST_DAYS * 24)
            number = whole_number(given[limits[0]], f"{path}.{limits[0]}", self.problems, least=1, most=most)
            minutes = None if number is None else number * each
        return Step(match, minutes, negated) if match else None

    def _match(self, given: dict[str, Any], path: str) -> EventMatch | None:
        if "event" not in given:
            self.problems.add(path, 'says no event; give its name, such as "Order Completed".')
            return None
        names = given["event"] if isinstance(given["event"], list) else [given["event"]]
        if not 1 <= len(names) <= MOST_NAMES or not all(isinstance(name, str) and name for name in names):
            self.problems.add(f"{path}.event", f"takes the name of an event, or a list of up to {MOST_NAMES} names.")
            return None
        if any(len(name) > LONGEST_NAME for name in names):
            self.problems.add(f"{path}.event", f"the name of an event may have {LONGEST_NAME} characters.")
            return None
        return EventMatch(tuple(names), self._filters(given.get("where", []), f"{path}.where"))

    def _filters(self, given: Any, path: str) -> tuple[Condition, ...]:
        if not isinstance(given, list) or len(given) > MOST_FILTERS:
            self.problems.add(
                path, f'takes a list of up to {MOST_FILTERS} objects such as {{"property": "category", "op": "eq", …}}.'
            )
            return ()
        return tuple(found for index, each in enumerate(given) if (found := self._filter(each, f"{path}[{index}]")))

    def _filter(self, given: Any, path: str) -> Condition | None:
        if not isinstance(given, dict) or "property" not in given:
            self.problems.add(path, "takes an object with property, op and value.")
            return None
        self.problems.only(given, path, ("property", "op", "value"))
        column = self._property(given["property"], f"{path}.property")
        return read_condition(given, path, column, self.problems) if column else None

    def _property(self, name: Any, path: str) -> Column | None:
        column = self.known.events.get(name) if isinstance(name, str) else None
        if column is None:
            hint = allowed(name, self.known.events)
            self.problems.add(path, f"events have no property {shown(name)}; {hint}.")
        return column

    def _window(self, given: dict[str, Any], path: str) -> Window:
        if "within_last_days" in given and "between" in given:
            self.problems.add(path, "takes within_last_days or between, not both.")
        elif "within_last_days" in given:
            here = f"{path}.within_last_days"
            days = whole_number(given["within_last_days"], here, self.problems, least=1, most=MOST_DAYS)
            if days is not None:
                return Window(Ago(days), None, f" in the last {days} day{'s' if days > 1 else ''}")
        elif "between" in given:
            return self._between(given["between"], f"{path}.between")
        return ALWAYS

    def _between(self, given: Any, path: str) -> Window:
        ends = [day(each) for each in given] if isinstance(given, list) and len(given) == 2 else []
        first, last = ends if ends else (None, None)
        if first is None or last is None or first > last:
            self.problems.add(path, 'takes the first and the last day, both included: ["2026-01-01", "2026-01-31"].')
            return ALWAYS
        return Window(first, last + timedelta(days=1), f" from {first:%Y-%m-%d} to {last:%Y-%m-%d}")
