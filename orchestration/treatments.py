"""What became of those whom an audience reached and of those held out, with what was known of them when they entered.

`predictions.treatment_outcomes`, one row per audience, round of a holdout and customer, is what a model of uplift can learn from
(docs/uplift.md). People, sides and outcomes are those of `weft audience lift`; the features are written once and never again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orchestration.gate_facts import ASSIGNMENTS
from orchestration.holdouts import EVERYBODY, Holdout
from orchestration.lift import ASSIGNED, ENTERED, MEMBERSHIPS
from orchestration.state import State
from orchestration.warehouse import Connection, create_table, row_count, scalar, tables_of

TABLE = "predictions.treatment_outcomes"
COLUMNS = {
    "audience": "varchar",
    "scope": "varchar",
    "round": "integer",
    "customer_id": "varchar",
    "is_treated": "boolean",
    "is_contaminated": "boolean",
    "entered_at": "timestamp",
    "order_count_30d": "bigint",
    "net_revenue_30d": "float8",
    "order_count_90d": "bigint",
    "net_revenue_90d": "float8",
    "features_on": "date",
    "features": "json",
}
HORIZONS = (30, 90)
"""Days after entering that outcomes are counted for."""
_KEY = ("audience", "scope", "round", "customer_id")
_FROZEN = ("features_on", "features")
_NOW = {name: type_ for name, type_ in COLUMNS.items() if name not in _FROZEN}
_FACTS = [name for name in _NOW if name not in _KEY]

_PEOPLE = """
    insert into treatments_now ({columns})
    select ?, ?, ?, people.customer_id,
        case when people.is_held_out = people.is_ever_held_out then not people.is_held_out end,
        people.is_held_out <> people.is_ever_held_out, people.started_at, {nothing_yet}
    from ({people}) as people
    where people.started_at <= ? {others}
"""
_OUTCOMES = """
    update treatments_now set {assignments}
    from (
        select people.audience, people.scope, people.round, people.customer_id, {sums}
        from treatments_now as people
        left join (
            select placed.customer_id, placed.ordered_at, placed.net_amount - coalesce(paid_back.net_amount, 0) as net_amount
            from customer_360.orders as placed
            left join (
                select order_key, sum(net_amount) as net_amount from customer_360.refunds group by order_key
            ) as paid_back on placed.order_key = paid_back.order_key
            where placed.ordered_at < ?
        ) as orders
            on people.customer_id = orders.customer_id and orders.ordered_at >= people.entered_at
            and orders.ordered_at < people.entered_at + {longest} * interval '1 day'
        group by people.audience, people.scope, people.round, people.customer_id
    ) as outcomes
    where {same_key}
"""
# who took in another customer is written anew, with what was known of whichever of them entered first
_ABSORBED = f"""
    insert into treatments_moved (audience, scope, round, customer_id, living_customer_id, entered_at, features_on, features)
    select standing.audience, standing.scope, standing.round, standing.customer_id,
        coalesce(redirects.living_customer_id, standing.customer_id), standing.entered_at, standing.features_on,
        cast(standing.features as varchar)
    from {TABLE} as standing
    inner join treatments_rounds as rounds on standing.scope = rounds.scope and standing.round = rounds.round
    left join identity.customer_redirects as redirects on standing.customer_id = redirects.customer_id
    where coalesce(redirects.living_customer_id, standing.customer_id) in (
        select gone.living_customer_id
        from identity.customer_redirects as gone
        inner join {TABLE} as absorbed on gone.customer_id = absorbed.customer_id
        inner join treatments_rounds as rounds on absorbed.scope = rounds.scope and absorbed.round = rounds.round
        where gone.customer_id <> gone.living_customer_id
    )
"""
_FEATURES = """
    inner join (
        select newest.audience, newest.scope, newest.round, newest.customer_id, newest.as_of_date
        from (
            select people.audience, people.scope, people.round, people.customer_id, dates.as_of_date,
                row_number() over (
                    partition by people.audience, people.scope, people.round, people.customer_id order by dates.as_of desc
                ) as place
            from treatments_new as people
            inner join control.feature_dates as dates on dates.as_of <= people.entered_at
            inner join features.customer_features as features
                on people.customer_id = features.customer_id and dates.as_of_date = features.as_of_date
        ) as newest
        where newest.place = 1
    ) as newest on {same_key}
    inner join (
        select keys.customer_id, keys.as_of_date, to_json(known) as features
        from features.customer_features as keys
        cross join lateral (select {names}) as known
    ) as known on newest.customer_id = known.customer_id and newest.as_of_date = known.as_of_date
"""


def write_treatments(connection: Connection, state: State) -> int:
    """Bring the table up to the build in progress; returns its rows. Repeating it changes nothing. `connection` writes.

    Rounds that have ended stay as the last pass before their end left them. One scan of the people of each round, and of orders;
    rows are written in proportion to what changed.
    """
    create_table(connection, TABLE, COLUMNS)
    rounds = state.holdouts.list()
    if rounds and ASSIGNMENTS in tables_of(connection, "audiences"):
        with connection.transaction(), _temporary_tables(connection):
            _write(connection, rounds)
    return row_count(connection, TABLE)


def _write(connection: Connection, rounds: Sequence[Holdout]) -> None:
    as_of = scalar(connection, "select as_of from control.current_run")
    everybody = next((each for each in rounds if each.scope == EVERYBODY), None)
    for holdout in rounds:
        connection.execute("insert into treatments_rounds values (?, ?)", [holdout.scope, holdout.round])
        _load_people(connection, holdout, everybody, as_of)
    _count_outcomes(connection, as_of)
    _clear_what_moved(connection)
    facts = " or ".join(f"standing.{name} is distinct from now.{name}" for name in _FACTS)
    connection.execute(
        f"update {TABLE} as standing set {', '.join(f'{name} = now.{name}' for name in _FACTS)} "
        f"from treatments_now as now where {_same_key('standing', 'now')} and ({facts})"
    )
    connection.execute(
        f"insert into treatments_new ({', '.join(_NOW)}) select {', '.join(f'now.{name}' for name in _NOW)} "
        f"from treatments_now as now where not exists (select 1 from {TABLE} as standing where {_same_key('standing', 'now')})"
    )
    _insert(connection)


def _load_people(connection: Connection, holdout: Holdout, everybody: Holdout | None, as_of: object) -> None:
    """Who is in the experiments of a round, each with an audience, as `measure_lift` sees them."""
    key = [holdout.scope, holdout.round]
    text = {"columns": ", ".join(_NOW), "nothing_yet": ", ".join(["null"] * (2 * len(HORIZONS))), "others": ""}
    if holdout.scope != EVERYBODY:
        parameters = [holdout.scope, *key, *key, as_of]
        if everybody:
            text["others"] = (
                f"and people.customer_id not in (select customer_id from ({ASSIGNED}) as alone where is_ever_held_out)"
            )
            parameters += [EVERYBODY, everybody.round]
        connection.execute(_PEOPLE.format(people=ASSIGNED, **text), parameters)
    elif MEMBERSHIPS in tables_of(connection, "audiences"):
        names = connection.rows(f"select distinct audience from audiences.{MEMBERSHIPS} order by audience")
        for (audience,) in names:
            connection.execute(_PEOPLE.format(people=ENTERED, **text), [audience, *key, *key, audience, as_of])


def _count_outcomes(connection: Connection, as_of: object) -> None:
    sums, assignments = [], []
    for days in HORIZONS:
        within = f"orders.ordered_at < people.entered_at + {days} * interval '1 day'"
        sums += [
            f"count(case when {within} then 1 end) as orders_{days}",
            f"cast(coalesce(sum(case when {within} then orders.net_amount end), 0) as float8) as revenue_{days}",
        ]
        for column, value in (("order_count", "orders"), ("net_revenue", "revenue")):
            assignments.append(f"{column}_{days}d = outcomes.{value}_{days}")
    statement = _OUTCOMES.format(
        assignments=", ".join(assignments),
        sums=", ".join(sums),
        longest=max(HORIZONS),
        same_key=_same_key("treatments_now", "outcomes"),
    )
    connection.execute(statement, [as_of])
    for days in HORIZONS:
        connection.execute(
            f"update treatments_now set order_count_{days}d = null, net_revenue_{days}d = null "
            f"where entered_at + {days} * interval '1 day' > ?",
            [as_of],
        )


def _clear_what_moved(connection: Connection) -> None:
    connection.execute(_ABSORBED)
    connection.execute(
        f"delete from {TABLE} as standing where exists "
        f"(select 1 from treatments_moved as moved where {_same_key('standing', 'moved')})"
    )
    connection.execute(
        f"delete from {TABLE} as standing where exists (select 1 from treatments_rounds as rounds "
        "where standing.scope = rounds.scope and standing.round = rounds.round) and not exists "
        f"(select 1 from treatments_now as now where {_same_key('standing', 'now')})"
    )


def _insert(connection: Connection) -> None:
    """New rows with the features of the newest date at or before entering; of a merged customer with those of who entered first."""
    names = ", ".join(f"people.{name}" for name in _NOW)
    target = f"insert into {TABLE} ({', '.join(_NOW)}, features_on, features)"
    of_moved = (
        "inner join (select audience, scope, round, living_customer_id as customer_id, features_on, features, row_number() over ("
        "partition by audience, scope, round, living_customer_id order by entered_at, customer_id) as place "
        f"from treatments_moved) as moved on {_same_key('people', 'moved')} and moved.place = 1"
    )
    connection.execute(
        f"{target} select {names}, moved.features_on, cast(moved.features as json) from treatments_new as people {of_moved}"
    )
    connection.execute(
        "delete from treatments_new as people where exists (select 1 from treatments_moved as moved "
        f"where people.customer_id = moved.living_customer_id and {_same_key('people', 'moved', _KEY[:-1])})"
    )
    if "customer_features" in tables_of(connection, "features"):
        columns = [name for (name,) in connection.rows(_COLUMN_NAMES, [connection.schema("features")])]
        features = [f"keys.{name} as {name}" for name in columns if name not in ("customer_id", "as_of_date")]
        joined = _FEATURES.format(same_key=_same_key("people", "newest"), names=", ".join(features))
        connection.execute(
            f"{target} select {names}, known.as_of_date, known.features from treatments_new as people {joined}"
        )
    connection.execute(
        f"{target} select {names}, cast(null as date), cast(null as json) from treatments_new as people "
        f"where not exists (select 1 from {TABLE} as standing where {_same_key('standing', 'people')})"
    )


_COLUMN_NAMES = (
    "select column_name from information_schema.columns where table_schema = ? and table_name = 'customer_features' "
    "order by ordinal_position"
)


def _same_key(one: str, other: str, names: Sequence[str] = _KEY) -> str:
    return " and ".join(f"{one}.{name} = {other}.{name}" for name in names)


@contextmanager
def _temporary_tables(connection: Connection) -> Iterator[None]:
    moved = {name: _NOW[name] for name in (*_KEY, "entered_at")}
    tables = {
        "treatments_now": _NOW,
        "treatments_new": _NOW,
        "treatments_rounds": {"scope": "varchar", "round": "integer"},
        "treatments_moved": moved | {"living_customer_id": "varchar", "features_on": "date", "features": "varchar"},
    }
    for name, columns in tables.items():
        create_table(connection, name, columns, temporary=True)
    yield
    for name in tables:
        connection.execute(f"drop table {name}")
