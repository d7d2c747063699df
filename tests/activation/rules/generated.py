"""Rules of every kind and small populations, generated; and both warehouses with such a population in them."""

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from activation.rules import Known, column
from orchestration.warehouse import Connection

AS_OF = datetime(2026, 3, 31, 12)
PROFILES = {
    "customer_id": "varchar",
    "email": "varchar",
    "country": "varchar",
    "channels": "varchar",
    "order_count": "bigint",
    "net_revenue": "decimal(18,4)",
    "churn_probability": "float8",
    "is_identified": "boolean",
    "last_seen_at": "timestamp",
    "predicted_on": "date",
}
EVENTS = {
    "landed_seq": "bigint",
    "customer_id": "varchar",
    "event": "varchar",
    "occurred_at": "timestamp",
    "product_id": "varchar",
    "category": "varchar",
}
AUDIENCES = ("vip", "loyal")
KNOWN = Known(
    {name: found for name, type_ in PROFILES.items() if (found := column(name, type_))},
    {name: found for name in ("product_id", "category") if (found := column(name, EVENTS[name]))},
    frozenset(AUDIENCES),
)
CUSTOMERS = ["a", "b", "c", "d"]
NAMES = ["Product Viewed", "Product Added", "Order Completed"]
# few values, near to each other, so that conditions meet them; some are what a careless compiler would trip over
WORDS = ["", "NL", "nl", "N", "NL'--", "België", "web", "we", "%"]
LISTS = ["", "web", "web,pos", "pos,whatsapp", "webshop"]
NUMBERS = [0, 1, 2, 3]
AMOUNTS = [Decimal("0"), Decimal("99.9999"), Decimal("100"), Decimal("100.0001"), Decimal("-5.5")]
SHARES = [0.0, 0.1, 0.3, 0.1 + 0.2, 1.0]
DAYS = [0, 1, 2, 7, 30]
INSTANTS = [
    AS_OF - timedelta(days=days) + shift
    for days in DAYS
    for shift in (-timedelta(microseconds=1), timedelta(), timedelta(hours=1))
]
INSTANTS = [instant for instant in INSTANTS if instant < AS_OF]
TEXT_DAYS = ["2026-03-01", "2026-03-29", "2026-03-30", "2026-03-31"]
TEXT_INSTANTS = ["2026-03-30T12:00:00Z", "2026-03-29T12:00:00", "2026-03-29T11:59:59.999999Z"]


def _or_none(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values)


PROFILE = st.fixed_dictionaries(
    {
        "email": _or_none(["a@x.nl", "b@x.nl"]),
        "country": _or_none(WORDS),
        "channels": _or_none(LISTS),
        "order_count": _or_none(NUMBERS),
        "net_revenue": _or_none(AMOUNTS),
        "churn_probability": _or_none(SHARES),
        "is_identified": _or_none([True, False]),
        "last_seen_at": _or_none(INSTANTS),
        "predicted_on": _or_none([date(2026, 3, day) for day in (1, 29, 30, 31)]),
    }
)
EVENT = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["a", "a", "a", "b", "b", "c", None]),
        "event": st.sampled_from(NAMES),
        "occurred_at": st.sampled_from([*INSTANTS, AS_OF]),
        "product_id": st.sampled_from(["p1", "p1", "p2", None]),
        "category": st.sampled_from(["shoes", "shoes", "hats", None]),
    }
)


def town(customers: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    """A larger population, the same for a seed: what one rule is about differs from customer to customer."""
    chosen = random.Random(seed)
    ids = [f"c{number:03}" for number in range(customers)]
    columns: dict[str, list[Any]] = {
        "email": ["a@x.nl", "b@x.nl"],
        "country": WORDS,
        "channels": LISTS,
        "order_count": NUMBERS,
        "net_revenue": AMOUNTS,
        "churn_probability": SHARES,
        "is_identified": [True, False],
        "last_seen_at": INSTANTS,
        "predicted_on": [date(2026, 3, day) for day in (1, 29, 30, 31)],
    }
    profiles = [
        {"customer_id": each, **{name: chosen.choice([*values, None]) for name, values in columns.items()}}
        for each in ids
    ]
    events = [
        {
            "landed_seq": chosen.randrange(10**9),
            "customer_id": each,
            "event": chosen.choice(NAMES),
            "occurred_at": chosen.choice([*INSTANTS, AS_OF]),
            "product_id": chosen.choice(["p1", "p1", "p2", None]),
            "category": chosen.choice(["shoes", "shoes", "hats", None]),
        }
        for each in [*ids, None]
        for _ in range(chosen.randrange(9))
    ]
    members = [
        {"audience": name, "customer_id": each} for name in AUDIENCES for each in chosen.sample(ids, customers // 3)
    ]
    return {"profiles": profiles, "events": events, "members": members}


@st.composite
def populations(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Profiles, events and the members of two audiences."""
    profiles = [{"customer_id": customer, **draw(PROFILE)} for customer in CUSTOMERS]
    events = [
        {"landed_seq": seq, **event}
        for seq, event in enumerate(draw(st.lists(EVENT, min_size=draw(st.sampled_from([0, 6, 12])), max_size=16)))
    ]
    members = [
        {"audience": name, "customer_id": who}
        for name in AUDIENCES
        for who in draw(st.sets(st.sampled_from(CUSTOMERS)))
    ]
    return {"profiles": profiles, "events": events, "members": members}


def _of_texts(values: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    letters = st.sampled_from([value for value in values if value])
    entries = st.lists(letters.filter(lambda text: "," not in text), min_size=1, max_size=3)
    return st.one_of(
        st.builds(_asked, st.sampled_from(["eq", "ne"]), st.sampled_from(values)),
        st.builds(_asked, st.sampled_from(["in", "not_in"]), st.lists(st.sampled_from(values), min_size=1, max_size=3)),
        st.builds(_asked, st.sampled_from(["contains", "starts_with"]), letters),
        st.builds(_asked, st.just("has_any"), entries),
        NULLNESS,
    )


def _of_numbers(values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    one = st.sampled_from(values)
    return st.one_of(
        st.builds(_asked, st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte"]), one),
        st.builds(_asked, st.sampled_from(["in", "not_in"]), st.lists(one, min_size=1, max_size=3)),
        st.builds(_asked, st.just("between"), st.tuples(one, one).map(sorted)),
        NULLNESS,
    )


def _asked(operator: str, value: Any) -> dict[str, Any]:
    return {"op": operator, "value": value}


NULLNESS = st.sampled_from([{"op": "is_null"}, {"op": "is_not_null"}])
OF_INSTANTS = st.one_of(
    st.builds(
        _asked, st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte"]), st.sampled_from(TEXT_DAYS + TEXT_INSTANTS)
    ),
    st.builds(
        _asked, st.just("between"), st.tuples(st.sampled_from(TEXT_DAYS), st.sampled_from(TEXT_DAYS)).map(sorted)
    ),
    st.builds(_asked, st.sampled_from(["within_last_days", "at_least_days_ago"]), st.sampled_from(DAYS)),
    NULLNESS,
)
ASKED: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "email": _of_texts(["a@x.nl", "b@x.nl"]),
    "country": _of_texts(WORDS),
    "channels": _of_texts(LISTS),
    "order_count": _of_numbers(NUMBERS),
    "net_revenue": _of_numbers([0, 100, Decimal("99.9999"), Decimal("100.00005"), Decimal("-5.5")]),
    "churn_probability": _of_numbers([Decimal("0.1"), Decimal("0.3"), 1, 0]),
    "is_identified": st.builds(_asked, st.sampled_from(["eq", "ne"]), st.booleans()) | NULLNESS,
    "last_seen_at": OF_INSTANTS,
    "predicted_on": OF_INSTANTS,
}
ATTRIBUTES = st.sampled_from(sorted(ASKED)).flatmap(
    lambda name: ASKED[name].map(lambda asked: {"attribute": name} | asked)
)
FILTERS = st.one_of(
    _of_texts(["p1", "p2"]).map(lambda asked: {"property": "product_id"} | asked),
    _of_texts(["shoes", "hats"]).map(lambda asked: {"property": "category"} | asked),
)
MATCHES = st.fixed_dictionaries(
    {"event": st.sampled_from(NAMES) | st.lists(st.sampled_from(NAMES), min_size=1, max_size=2)},
    optional={"where": st.lists(FILTERS, max_size=1)},
)
WINDOWS = st.one_of(
    st.just({}),
    st.sampled_from([1, 2, 7, 30]).map(lambda days: {"within_last_days": days}),
    st.tuples(st.sampled_from(TEXT_DAYS), st.sampled_from(TEXT_DAYS)).map(lambda days: {"between": sorted(days)}),
)
COMPARED = st.tuples(st.sampled_from(["at_least", "at_most", "exactly"]), st.sampled_from(NUMBERS)).map(
    lambda pair: dict([pair])
) | st.just({})
DISTINCT = st.sampled_from([{}, {"distinct": "product_id"}])
COUNTS = st.tuples(MATCHES, WINDOWS, COMPARED, DISTINCT).map(
    lambda parts: {key: value for part in parts for key, value in part.items()}
)
LIMITS = st.sampled_from([{}, {"within_days": 1}, {"within_days": 7}, {"within_hours": 1}, {"within_hours": 24}])


@st.composite
def sequences(draw: st.DrawFn) -> dict[str, Any]:
    """Two to four steps, some of them negated."""
    steps = [draw(MATCHES)]
    for _ in range(draw(st.integers(1, 3))):
        steps.append(draw(MATCHES) | draw(LIMITS) | draw(st.sampled_from([{}, {}, {"not": True}])))
    last = max(index for index, step in enumerate(steps) if not step.get("not"))
    for step in steps[1:last]:
        if step.get("not"):
            step.pop("within_days", None), step.pop("within_hours", None)
    return {"sequence": steps, **draw(WINDOWS)}


SHORT_FORMS = st.fixed_dictionaries(
    {"min_total_spend": st.sampled_from([0, 100, Decimal("100.00005")])},
    optional={"days_since_last_event": st.sampled_from(DAYS)},
)
LEAVES = st.one_of(
    ATTRIBUTES,
    ATTRIBUTES,
    st.sampled_from(AUDIENCES).map(lambda name: {"audience": name}),
    COUNTS,
    COUNTS,
    sequences(),
    sequences(),
    SHORT_FORMS,
)
RULES = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from(["all", "any", "none"]), st.lists(inner, min_size=1, max_size=3)).map(
        lambda pair: dict([pair])
    ),
    max_leaves=6,
)


def create(connection: Connection) -> None:
    """The tables that a rule reads, empty."""
    for schema in ("audiences", "customer_360", "control"):
        connection.execute(f"create schema {schema}")
    for table, columns in (("audiences.profiles", PROFILES), ("customer_360.events", EVENTS)):
        connection.execute(f"create table {table} ({', '.join(f'{name} {type_}' for name, type_ in columns.items())})")
    connection.execute("create table audiences.others (audience varchar, customer_id varchar)")


def fill(connection: Connection, population: dict[str, list[dict[str, Any]]]) -> None:
    """Replace what is in the tables."""
    tables = {
        "audiences.profiles": ("profiles", list(PROFILES)),
        "customer_360.events": ("events", list(EVENTS)),
        "audiences.others": ("members", ["audience", "customer_id"]),
    }
    for table, (name, columns) in tables.items():
        connection.execute(f"delete from {table}")
        for row in population[name]:
            marks = ", ".join("?" * len(columns))
            connection.execute(
                f"insert into {table} ({', '.join(columns)}) values ({marks})", [row[each] for each in columns]
            )
