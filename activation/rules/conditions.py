"""Conditions on one column as SQL, true or false and never null. A missing value meets is_null, ne and not_in, and nothing else."""

from activation.rules.fragments import Sql, joined, sql, value
from activation.rules.tree import AS_OF, Condition, EventMatch

_PLAIN = {
    "eq": "{} = {}",
    "lt": "{} < {}",
    "lte": "{} <= {}",
    "gt": "{} > {}",
    "gte": "{} >= {}",
    "between": "{} between {} and {}",
    "contains": "strpos({}, {}) > 0",
    "starts_with": "starts_with({}, {})",
}
_INSTANTS = {"lt": "{} < {}", "lte": "{} < {}", "gt": "{} >= {}", "gte": "{} >= {}", "at_least_days_ago": "{} <= {}"}


def condition_sql(condition: Condition, alias: str) -> Sql:
    """Whether the condition holds for the row of `alias`."""
    column = Sql(f"{alias}.{condition.column.name}")
    operator = condition.operator
    if operator == "is_null":
        return sql("({} is null)", column)
    if operator == "is_not_null":
        return sql("({} is not null)", column)
    if operator in ("ne", "not_in"):
        return sql("coalesce(not ({}), true)", _positive(condition, "eq" if operator == "ne" else "in", column))
    return sql("coalesce({}, false)", _positive(condition, operator, column))


def match_sql(match: EventMatch, alias: str) -> Sql:
    """Whether an event is meant."""
    is_named = sql("coalesce({}, false)", named(match.names, alias))
    return joined(" and ", [is_named, *(condition_sql(each, alias) for each in match.where)])


def named(names: tuple[str, ...], alias: str) -> Sql:
    """Whether an event has one of the names; null where it has none at all."""
    return sql(f"{alias}.event in ({{}})", joined(", ", map(value, names)))


def _positive(condition: Condition, operator: str, column: Sql) -> Sql:
    if condition.column.kind == "instant":
        return _of_instants(condition, operator, sql("cast({} as timestamp)", column))
    values = [value(each) for each in condition.values]
    if operator == "in":
        return sql("{} in ({})", column, joined(", ", values))
    if operator == "has_any":
        listed = sql("(',' || {} || ',')", column)
        return sql("({})", joined(" or ", (sql("strpos({}, ',' || {} || ',') > 0", listed, each) for each in values)))
    return sql(_PLAIN[operator], column, *values)


def _of_instants(condition: Condition, operator: str, column: Sql) -> Sql:
    values = [value(each) for each in condition.values]
    if operator in ("eq", "between"):
        return sql("({} >= {} and {} < {})", column, values[0], column, values[1])
    if operator == "within_last_days":
        return sql("({} >= {} and {} <= {})", column, values[0], column, value(AS_OF))
    return sql(_INSTANTS[operator], column, values[0])
