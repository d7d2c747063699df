"""Identity beside the truth: hand the warehouse's evidence, the engine's answer and the simulator's truth to identity.quality."""

import pyarrow as pa

from identity.quality import JUDGED_IDENTIFIERS, judge_identifiers
from identity.rules import Rules
from identity.tables import IDENTIFIERS
from orchestration.warehouse import SQL_TYPES, Connection, row_count, tables_of, write_table

TABLE = "identity.judged_identifiers"

_NUMBERED = {
    "quality_evidence": (
        "select evidence_id, last_occurred_at, cast(row_number() over (order by evidence_id) - 1 as integer) as place "
        "from identity.evidence"
    ),
    "quality_identifiers": (
        "select identifier_id, identifier_type, identifier_value, "
        "cast(row_number() over (order by identifier_id) - 1 as integer) as place from identity.identifiers"
    ),
}
_OWNERS = """
    select truth.person_id, memberships.customer_id
    from quality_identifiers as identifiers
    left join (
        select identifier_type, identifier_value, cast(min(person_id) as varchar) as person_id
        from truth.identifiers
        group by identifier_type, identifier_value
        having count(distinct person_id) = 1
    ) as truth
        on identifiers.identifier_type = truth.identifier_type and identifiers.identifier_value = truth.identifier_value
    left join identity.memberships
        on identifiers.identifier_id = memberships.identifier_id
        and memberships.known_to is null and memberships.valid_from is null
    order by identifiers.place
"""


def judge(connection: Connection, *, rules: Rules) -> int:
    """Replace identity.judged_identifiers, empty where there is no truth; returns its rows.

    Judges the engine's newest answer, on the evidence it was given. Cost: with truth, all evidence again, in every run; without, none.
    """
    rows = _judged(connection, rules) if _has_truth(connection) else JUDGED_IDENTIFIERS.empty_table()
    with connection.transaction():
        write_table(connection, TABLE, rows, {field.name: SQL_TYPES[field.type] for field in JUDGED_IDENTIFIERS})
    return len(rows)


def _has_truth(connection: Connection) -> bool:
    return "identifiers" in tables_of(connection, "truth") and row_count(connection, "truth.identifiers") > 0


def _judged(connection: Connection, rules: Rules) -> pa.Table:
    for table, query in _NUMBERED.items():
        connection.execute(f"drop table if exists {table}")
        connection.execute(f"create temporary table {table} as {query}")
    owners = connection.arrow(_OWNERS)
    last_seen = connection.arrow("select last_occurred_at from quality_evidence order by place")["last_occurred_at"]
    judged = judge_identifiers(
        identifiers=connection.arrow(f"select {', '.join(IDENTIFIERS.names)} from quality_identifiers order by place"),
        evidence_identifiers=connection.arrow(
            "select quality_evidence.place as evidence_row, quality_identifiers.place as identifier_row "
            "from identity.evidence_identifiers as members "
            "inner join quality_evidence on members.evidence_id = quality_evidence.evidence_id "
            "inner join quality_identifiers on members.identifier_id = quality_identifiers.identifier_id"
        ),
        last_seen=last_seen.combine_chunks(),
        owners=owners["person_id"].combine_chunks().cast(pa.string()),
        customers=owners["customer_id"].combine_chunks().cast(pa.string()),
        rules=rules,
    )
    for table in _NUMBERED:
        connection.execute(f"drop table {table}")
    return judged
