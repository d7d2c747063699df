"""Conditions on events as SQL: one scan for all counts of a rule, and one for each sequence."""

from collections.abc import Sequence as Many
from datetime import timedelta

from activation.rules.conditions import match_sql, named
from activation.rules.fragments import Sql, joined, sql, value
from activation.rules.tree import AS_OF, Ago, EventCount, EventMatch, Sequence, Step, Window

EVENTS = "customer_360.events"


def counts_sql(counts: Many[EventCount], events: str, only: Sql) -> Sql:
    """One row per customer with any event that one of `counts` is about; column n<i> is the number of the i-th."""
    matches = [
        joined(" and ", [match_sql(each.match, "events"), *_in_window(each.window, "events")]) for each in counts
    ]
    numbers = [
        f"count(distinct case when is_meant_{index} then {each.distinct.name} end) as n{index}"
        if each.distinct
        else f"count(case when is_meant_{index} then 1 end) as n{index}"
        for index, each in enumerate(counts)
    ]
    kept = sorted({each.distinct.name for each in counts if each.distinct})
    columns = [
        Sql("events.customer_id"),
        *(Sql(f"events.{name}") for name in kept),
        *(sql(f"{{}} as is_meant_{index}", match) for index, match in enumerate(matches)),
    ]
    windows = [_in_window(each.window, "events") for each in counts]
    any_window = [sql("({})", joined(" or ", (joined(" and ", each) for each in windows)))] if all(windows) else []
    return sql(
        "select customer_id, {}\nfrom (\nselect {}\nfrom {} as events\nwhere {}\n) as events\ngroup by customer_id",
        Sql(", ".join(numbers)),
        joined(", ", columns),
        Sql(events),
        joined(" and ", [*_known([each.match for each in counts], only), *any_window]),
    )


def sequence_sql(sequence: Sequence, events: str, only: Sql) -> Sql:
    """One row per customer who went through the steps: the instant of the last one that is not negated, at its newest.

    Each step looks back at the newest event that could be the step before it: the nearest is the best, since a longer way has a
    longer gap and no fewer events between. So every step is one window over the customer's own events.
    """
    steps = sequence.steps
    last = max(index for index, step in enumerate(steps) if not step.is_negated)
    columns = joined(
        ", ", (sql(f"({{}}) as is_{index}", match_sql(step.match, "events")) for index, step in enumerate(steps))
    )
    found = sql(
        "select events.customer_id, events.occurred_at,\n"
        "row_number() over (partition by events.customer_id order by events.occurred_at, events.landed_seq) as place,\n"
        "{}\nfrom {} as events\nwhere {}",
        columns,
        Sql(events),
        joined(" and ", [*_known([step.match for step in steps], only), *_not_too_early(sequence)]),
    )
    before = 0
    for index, step in enumerate(steps[: last + 1]):
        if index and not step.is_negated:
            found = _reached(found, step, index, before, len(steps))
            before = index
    return _ended(found, steps, last, sequence.window)


def _reached(found: Sql, step: Step, index: int, before: int, count: int) -> Sql:
    """The events with one more column: whether the sequence reaches step `index` in them."""
    unwanted = range(before + 1, index)
    earlier = "over (partition by customer_id order by place rows between unbounded preceding and 1 preceding)"
    seen = [
        Sql(f"max(case when {_flag(before)} then place end) {earlier} as before_place"),
        Sql(f"max(case when {_flag(before)} then occurred_at end) {earlier} as before_at"),
        *(Sql(f"max(case when is_{each} then place end) {earlier} as unwanted_{each}") for each in unwanted),
    ]
    looked_back = sql("select events.*,\n{}\nfrom (\n{}\n) as events", joined(",\n", seen), found)
    holds = [Sql(f"is_{index} and before_place is not null")]
    if step.within_minutes is not None:
        holds.append(sql("occurred_at <= before_at + {}", _minutes(step.within_minutes)))
    holds += [Sql(f"(unwanted_{each} is null or unwanted_{each} <= before_place)") for each in unwanted]
    # the columns of this look back are left behind, so that the next one can have the same names
    kept = ["customer_id", "occurred_at", "place", *(f"is_{each}" for each in range(index + 1, count))]
    template = f"select {', '.join(kept)},\n({{}}) as reached_{index}\nfrom (\n{{}}\n) as events"
    return sql(template, joined(" and ", holds), looked_back)


def _ended(found: Sql, steps: Many[Step], last: int, window: Window) -> Sql:
    later = "over (partition by customer_id order by place rows between 1 following and unbounded following)"
    unwanted = range(last + 1, len(steps))
    holds = [Sql(_flag(last)), *_in_window(window, "events")]
    for index in unwanted:
        within = steps[index].within_minutes
        if within is None:
            holds.append(Sql(f"next_{index} is null"))
            continue
        # the time has to be over: as long as it runs, the event may still come
        over = sql("occurred_at + {} < {}", _minutes(within), value(AS_OF))
        holds.append(
            sql(f"(next_{index} is null or next_{index} > occurred_at + {{}}) and {{}}", _minutes(within), over)
        )
    if unwanted:
        next_at = joined(
            ",\n", (Sql(f"min(case when is_{each} then occurred_at end) {later} as next_{each}") for each in unwanted)
        )
        found = sql("select events.*,\n{}\nfrom (\n{}\n) as events", next_at, found)
    return sql(
        "select customer_id, max(occurred_at) as ended_at\nfrom (\n{}\n) as events\nwhere {}\ngroup by customer_id",
        found,
        joined(" and ", holds),
    )


def _not_too_early(sequence: Sequence) -> list[Sql]:
    """What no event of the sequence can lie before, where the window begins and every step has a limit: so a long history is not sorted."""
    since = sequence.window.since
    last = max(index for index, step in enumerate(sequence.steps) if not step.is_negated)
    limits = [step.within_minutes for step in sequence.steps[1 : last + 1] if not step.is_negated]
    if since is None or None in limits:
        return []
    days = -(-sum(limit for limit in limits if limit is not None) // (24 * 60))
    earliest = Ago(since.days + days) if isinstance(since, Ago) else since - timedelta(days=days)
    return [sql("events.occurred_at >= {}", value(earliest))]


def _known(matches: Many[EventMatch], only: Sql) -> list[Sql]:
    """What every scan of events begins with: somebody's, of a name that is asked for, before the as-of."""
    # a name that is asked for twice stands here twice: leaving one out would make the text depend on values
    names = tuple(name for match in matches for name in match.names)
    past = sql("events.occurred_at < {}", value(AS_OF))
    return [Sql("events.customer_id is not null"), *([only] if only.text else []), named(names, "events"), past]


def _in_window(window: Window, alias: str) -> list[Sql]:
    since = [sql(f"{alias}.occurred_at >= {{}}", value(window.since))] if window.since is not None else []
    return since + ([sql(f"{alias}.occurred_at < {{}}", value(window.until))] if window.until is not None else [])


def _minutes(number: int) -> Sql:
    return sql("{} * interval '1 minute'", value(number))


def _flag(index: int) -> str:
    return f"is_{index}" if index == 0 else f"reached_{index}"
