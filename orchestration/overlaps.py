"""How audiences overlap: `audiences.overlaps`, one row per pair with a customer in both."""

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa

from orchestration.warehouse import Connection, create_table

BITS = 60
"""Audiences that fit into one number; more take more numbers."""

_COUNT = """
    insert into audiences.overlaps
    with members as (
        select memberships.audience, memberships.customer_id, names.word, names.bit
        from audiences.memberships as memberships
        inner join overlap_names as names on memberships.audience = names.audience
        where memberships.left_seq is null
    ),

    combinations as (
        select min(customer_id) as customer_id, count(*) as customer_count
        from (select customer_id, {words} from members group by customer_id) as combined
        group by {word_names}
    ),

    pairs as (
        select one.audience, other.audience as other_audience, cast(sum(combinations.customer_count) as bigint) as customer_count
        from combinations
        inner join members as one on combinations.customer_id = one.customer_id
        inner join members as other on combinations.customer_id = other.customer_id and one.audience < other.audience
        group by 1, 2
    )

    select pairs.audience, pairs.other_audience, pairs.customer_count,
        cast(pairs.customer_count as float8) / one.member_count, cast(pairs.customer_count as float8) / other.member_count,
        cast('{as_of}' as timestamp)
    from pairs
    inner join overlap_names as one on pairs.audience = one.audience
    inner join overlap_names as other on pairs.other_audience = other.audience
"""
"""Customers of one combination of audiences count as one: the pairs are made of combinations, which are few, not of members."""


def write_overlaps(connection: Connection, members: Mapping[str, int], as_of: datetime) -> None:
    """Replace audiences.overlaps from the current membership, of which `members` are the counts. Within the caller's transaction.

    Cost: one grouping of the members by customer; pairs of combinations.
    """
    connection.execute("delete from audiences.overlaps")
    if not members:
        return
    names = sorted(members)
    columns = {"audience": "varchar", "word": "integer", "bit": "bigint", "member_count": "bigint"}
    create_table(connection, "overlap_names", columns, temporary=True)
    rows = {
        "audience": names,
        "word": pa.array([number // BITS for number in range(len(names))], pa.int32()),
        "bit": [1 << number % BITS for number in range(len(names))],
        "member_count": [members[name] for name in names],
    }
    connection.append("overlap_names", pa.table(rows))
    words = range(-(-len(names) // BITS))
    connection.execute(
        _COUNT.format(
            words=", ".join(f"sum(case when word = {word} then bit else 0 end) as word_{word}" for word in words),
            word_names=", ".join(f"word_{word}" for word in words),
            as_of=as_of.isoformat(sep=" "),
        )
    )
    connection.execute("drop table overlap_names")
