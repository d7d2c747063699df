"""What people decided and refused, resolved to the customers of a build: identifiers by whom they belong to, old ids by redirects."""

from collections.abc import Iterable

import pyarrow as pa

from orchestration.consent_purposes import PURPOSES
from orchestration.exclusions import CUSTOMER_ID
from orchestration.holdouts import Holdout
from orchestration.refusals import HASH_IN_SQL
from orchestration.state import State
from orchestration.warehouse import Connection, tables_of

ASSIGNMENTS = "holdout_assignments"

CONSENTS = (
    f"select customer_id, {', '.join(f'has_consent_{each} as {each}' for each in PURPOSES)} from customer_360.customers"
)

BLOCKED = pa.schema([("customer_id", pa.string()), ("kind", pa.string()), ("name", pa.string())])
"""Kind and name of what blocks a customer: a purpose that was refused, or an exclusion list."""
SIDES = pa.schema(
    [("customer_id", pa.string()), ("scope", pa.string()), ("is_held_out", pa.bool_()), ("is_contaminated", pa.bool_())]
)
PURPOSE = "purpose"

# a shared identifier is whoever's it is now: of an event that carries it alone that is the one who speaks
_REFUSED = """
    select hashed.customer_id, hashed.identifier_hash
    from (
        select customer_id, {hash} as identifier_hash from identity.memberships
        where known_to is null and (valid_from is null or valid_to is null)
    ) as hashed
    inner join (select unnest(cast(? as varchar[])) as identifier_hash) as wanted on hashed.identifier_hash = wanted.identifier_hash
"""
_BY_IDENTIFIER = """
    select memberships.customer_id, wanted.name
    from identity.memberships as memberships
    inner join (select unnest(cast(? as varchar[])) as name) as wanted
        on memberships.identifier_type || ':' || memberships.identifier_value = wanted.name
    where memberships.known_to is null
"""
_BY_CUSTOMER_ID = """
    select coalesce(redirects.living_customer_id, wanted.name), wanted.name
    from (select unnest(cast(? as varchar[])) as name) as wanted
    left join identity.customer_redirects as redirects on wanted.name = redirects.customer_id
"""
_SIDES = f"""
    select coalesce(redirects.living_customer_id, assigned.customer_id) as customer_id, assigned.scope, assigned.round,
        bool_and(assigned.is_held_out) as is_held_out,
        bool_or(assigned.is_held_out) and not bool_and(assigned.is_held_out) as is_contaminated
    from audiences.{ASSIGNMENTS} as assigned
    left join identity.customer_redirects as redirects on assigned.customer_id = redirects.customer_id
    group by 1, 2, 3
"""


def consents(build: Connection, only: str | None) -> pa.Table:
    """One row per customer of a build (or the one that is asked for) and a column per purpose."""
    if only is None:
        return build.arrow(CONSENTS)
    rows = build.rows(f"{CONSENTS} where customer_id = ?", [only])
    schema = pa.schema([("customer_id", pa.string()), *((each, pa.bool_()) for each in PURPOSES)])
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def blocked(build: Connection, state: State) -> pa.Table:
    """One row per customer of a build and what blocks it, as BLOCKED."""
    return pa.Table.from_pylist([*_refused(build, state), *_excluded(build, state)], schema=BLOCKED)


def sides(build: Connection, rounds: Iterable[Holdout]) -> pa.Table:
    """One row per customer who was assigned in a round in force and its scope, as SIDES; of merged customers all ids count."""
    current = [f"(scope = '{_quoted(each.scope)}' and round = {each.round})" for each in rounds]
    if not current or ASSIGNMENTS not in tables_of(build, "audiences"):
        return SIDES.empty_table()
    found = build.arrow(f"select * from ({_SIDES}) as sides where {' or '.join(current)}")
    return found.select(SIDES.names).cast(SIDES)


def _refused(build: Connection, state: State) -> list[dict[str, str]]:
    purposes: dict[str, set[str]] = {}
    for refusal in state.refusals.list():
        purposes.setdefault(refusal.identifier_hash, set()).add(refusal.purpose)
    if not purposes:
        return []
    query = _REFUSED.format(hash=HASH_IN_SQL[build.dialect])
    rows = build.rows(query, [state.salt(), list(purposes)])
    found = {(customer_id, purpose) for customer_id, hashed in rows for purpose in purposes[hashed]}
    return [{"customer_id": customer_id, "kind": PURPOSE, "name": purpose} for customer_id, purpose in found]


def _excluded(build: Connection, state: State) -> list[dict[str, str]]:
    lists: dict[tuple[bool, str], set[tuple[str, str]]] = {}
    for each in state.exclusions.list():
        is_id = each.identifier_type == CUSTOMER_ID
        name = each.identifier_value if is_id else f"{each.identifier_type}:{each.identifier_value}"
        lists.setdefault((is_id, name), set()).add((each.kind, each.name))
    found = set()
    for is_id, query in ((True, _BY_CUSTOMER_ID), (False, _BY_IDENTIFIER)):
        wanted = [name for kind, name in lists if kind is is_id]
        for customer_id, name in build.rows(query, [wanted]) if wanted else ():
            found |= {(customer_id, *where) for where in lists[is_id, name]}
    return [dict(zip(BLOCKED.names, row, strict=True)) for row in found]


def _quoted(text: str) -> str:
    return text.replace("'", "''")
