"""Who was assigned to which side of a holdout, and when: one row per person and round, written before a build becomes whole.

A person is assigned once, when first somebody who could have been published (consenting, not excluded), and keeps the side: the row
bears the customer id of then, redirects lead to the customer of now. Who was split off keeps the side of whom they were with.
"""

import pyarrow as pa

from orchestration.audience_catalogue import audiences
from orchestration.errors import GateError
from orchestration.gate import opened_gate
from orchestration.gate_facts import ASSIGNMENTS
from orchestration.holdouts import EVERYBODY, Holdout
from orchestration.registering import built_in
from orchestration.state import State
from orchestration.warehouse import Connection, create_table, scalar

TABLE = f"audiences.{ASSIGNMENTS}"
COLUMNS = {
    "scope": "varchar",
    "round": "integer",
    "customer_id": "varchar",
    "is_held_out": "boolean",
    "assigned_at": "timestamp",
}
_NEW = f"""
    insert into {TABLE} (scope, round, customer_id, is_held_out, assigned_at)
    select ?, ?, candidates.customer_id, coalesce(inherited.is_held_out, substr(md5(? || candidates.customer_id), 1, 8) < ?), ?
    from candidates_to_assign as candidates
    left join (
        select history.customer_id_after as customer_id, bool_or(assigned.is_held_out) as is_held_out
        from identity.merge_history as history
        inner join {TABLE} as assigned on history.customer_id_before = assigned.customer_id
        where history.change = 'split' and assigned.scope = ? and assigned.round = ?
        group by history.customer_id_after
    ) as inherited on candidates.customer_id = inherited.customer_id
    where candidates.customer_id not in (
        select coalesce(redirects.living_customer_id, assigned.customer_id)
        from {TABLE} as assigned
        left join identity.customer_redirects as redirects on assigned.customer_id = redirects.customer_id
        where assigned.scope = ? and assigned.round = ?
    )
"""


def assign_holdouts(connection: Connection, state: State) -> dict[str, int]:
    """Assign everybody who is new in a round in force; returns how many by scope. Repeating it changes nothing. `connection` writes."""
    rounds = state.holdouts.list()
    if not rounds:
        return {}
    create_table(connection, TABLE, COLUMNS)
    as_of = scalar(connection, "select as_of from control.current_run")
    assigned: dict[str, int] = {}
    with opened_gate(connection, state) as gate:
        catalogue = built_in(connection, audiences(state))
        eligible = {}
        for each in catalogue:
            try:
                eligible[each.name] = gate.members(each, with_holdouts=False).members.select(["customer_id"])
            except GateError:  # nobody of it is published; the registration says why
                continue
    for holdout in rounds:
        of_scope = list(eligible.values()) if holdout.scope == EVERYBODY else [eligible.get(holdout.scope)]
        tables = [table for table in of_scope if table is not None]
        if tables:
            people = pa.concat_tables(tables).group_by("customer_id").aggregate([])
            assigned[holdout.scope] = _assign(connection, holdout, people, as_of)
    return assigned


def _assign(connection: Connection, holdout: Holdout, people: pa.Table, as_of: object) -> int:
    count = f"select count(*) from {TABLE}"
    before = scalar(connection, count)
    key = [holdout.scope, holdout.round]
    connection.execute("create temp table if not exists candidates_to_assign (customer_id varchar)")
    with connection.transaction():
        connection.execute("delete from candidates_to_assign")
        connection.append("candidates_to_assign", people)
        connection.execute(_NEW, [*key, holdout.prefix, holdout.threshold, as_of, *key, *key])
        connection.execute("delete from candidates_to_assign")
    return int(scalar(connection, count) - before)
