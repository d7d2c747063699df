"""How audiences overlap: `audiences.overlaps`, one row per pair with a customer in both."""

from datetime import datetime

from orchestration.warehouse import Connection

_COUNT = """
    insert into audiences.overlaps
    with members as (
        select audience, customer_id from audiences.memberships where left_seq is null
    ),

    combinations as (
        select min(customer_id) as customer_id, count(*) as customer_count
        from (
            select customer_id, string_agg(audience, ',' order by audience) as names from members group by customer_id
        ) as combined
        group by names
    ),

    sizes as (
        select audience, count(*) as member_count from members group by audience
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
    inner join sizes as one on pairs.audience = one.audience
    inner join sizes as other on pairs.other_audience = other.audience
"""
"""Customers of one combination of audiences count as one: the pairs are made of combinations, which are few, not of members."""


def write_overlaps(connection: Connection, as_of: datetime) -> None:
    """Replace audiences.overlaps from the current membership. Cost: one grouping of the members by customer; pairs of combinations."""
    connection.execute("delete from audiences.overlaps")
    connection.execute(_COUNT.format(as_of=as_of.isoformat(sep=" ")))
