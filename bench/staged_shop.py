"""Made-up staged events for the Customer 360 benchmark, in the tables that the evidence step and the identity engine leave behind."""

from typing import Final

import duckdb

from identity.rules import load_rules
from identity.tables import MEMBERSHIPS
from orchestration.clock import BUILDS, CURRENT_RUN, DATES, FEATURE_DATES, LABEL_HORIZONS
from orchestration.collecting import ensure_raw_tables
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.warehouse import SQL_TYPES, create_table, write_table

EVENTS_PER_CUSTOMER: Final = 20
AS_OF: Final = "timestamp '2026-11-20'"

EVENTS: Final = """
    create table staging.stg_events as
    select
        i as landed_seq,
        'web' as source,
        'm' || i as message_id,
        if(h % 3 = 0, 'user-' || person, null) as user_id,
        'cookie-' || person || '-' || (v // 3 % 2) as anonymous_id,
        cast(null as json) as identifiers,
        case when kind < 2 then 'page' when kind = 23 then 'identify' else 'track' end as type,
        case
            when kind < 2 then 'page' when kind < 14 then 'Product Viewed' when kind < 18 then 'Product Added'
            when kind = 18 then 'Order Completed' when kind < 23 then 'Email Opened' else 'identify'
        end as event,
        happened_at as occurred_at,
        happened_at + interval 1 second as known_at,
        if(v // 7 % 8 = 0, 'pos', 'web') as channel,
        ['desktop', 'mobile', 'tablet'][1 + person % 3] as device_type,
        ['FR', 'DE', 'US'][1 + person % 3] as country,
        'region' as region,
        'city ' || if(person % 10 = 0, h // 11 % 2, 0) as city,
        if(h // 13 % 10 = 0, ['mail', 'ads'][1 + h // 17 % 2], null) as campaign_source,
        if(h // 13 % 10 = 0, 'cpc', null) as campaign_medium,
        if(h // 13 % 10 = 0, 'campaign ' || (h // 19 % 9), null) as campaign_name,
        'sku-' || (h // 23 % 5000) as product_id,
        'cat_' || (h // 29 % 24) as category,
        if(kind = 18, 'o' || i, null) as order_id,
        cast(null as varchar) as refund_id,
        false as is_partial,
        'EUR' as currency,
        if(kind = 18, cast((h // 31 % 20000) / 100 as decimal(18, 4)), null) as revenue,
        cast(null as decimal(18, 4)) as discount,
        cast(null as decimal(18, 4)) as tax,
        cast(null as decimal(18, 4)) as shipping,
        cast(null as decimal(18, 4)) as total,
        case
            when kind = 18 then cast(
                '[{{"product_id":"sku-' || (h // 23 % 5000) || '","category":"cat_' || (h // 29 % 24) || '","price":1}}]' as json
            )
        end as products,
        cast(null as json) as traits,
        if(kind = 23, cast('{{"advertising":' || if(person % 2 = 0, 'true', 'false') || '}}' as json), null) as consent
    from (
        select
            *, h // 256 % 24 as kind, (v % 1000000007) * (v % 1000000007) // 1000000007 % greatest({size} // {per_customer}, 1) as person,
            timestamp '2025-11-20' + interval (visit * 31500000 // {size}) second + interval (i - visit) minute as happened_at
        from (
            select *, cast(hash(i) >> 1 as bigint) as h, cast(hash(visit) >> 1 as bigint) as v
            from (select i, if(i < {size} * 0.99, i // 4 * 4, i) as visit from range({size}) as t (i))
        )
    )
"""
"""Near-uniform customers with two cookies and a login, in the order of time: visits of four events, in the newest 1 % of one, so that
these are of as many customers as the reference's; one event in 24 is an order of one line, one customer in ten has two cities."""

IDENTITY: Final = """
    create table identity.event_identifiers as
    select landed_seq, md5('anonymous_id:' || anonymous_id) as identifier_id, 'anonymous_id' as identifier_type,
        anonymous_id as identifier_value
    from staging.stg_events
    union all
    select landed_seq, md5('user_id:' || user_id), 'user_id', user_id from staging.stg_events where user_id is not null;

    create table identity.event_evidence as
    select
        landed_seq, md5(md5('anonymous_id:' || anonymous_id) || coalesce(md5('user_id:' || user_id), '')) as evidence_id,
        source, message_id, occurred_at, known_at, occurred_at as ordered_at
    from staging.stg_events;

    create table identity.evidence as
    select
        evidence_id, min(ordered_at) as first_at, min(source) as first_source, min(message_id) as first_message_id,
        min(known_at) as first_known_at, max(occurred_at) as last_occurred_at, count(*) as event_count
    from identity.event_evidence group by evidence_id;

    create table identity.evidence_identifiers as
    select distinct evidence_id, identifier_id
    from (select evidence_id, min(landed_seq) as landed_seq from identity.event_evidence group by evidence_id)
    inner join identity.event_identifiers using (landed_seq);

    create table identity.identifiers as
    select
        identifier_id, identifier_type, identifier_value,
        min(occurred_at) as first_seen_at, max(occurred_at) as last_seen_at, count(*) as event_count
    from identity.event_identifiers inner join identity.event_evidence using (landed_seq) group by all;

    insert into identity.memberships by name
    select
        identifier_id, identifier_type, identifier_value, md5('customer' || split_part(identifier_value, '-', 2)) as customer_id,
        timestamp '2025-01-01' as known_from
    from identity.identifiers;
"""

CONTROL: Final = {
    "current_run": CURRENT_RUN,
    "builds": BUILDS,
    "feature_dates": FEATURE_DATES,
    "label_horizons": LABEL_HORIZONS,
    "standing_dates": DATES,
}
TYPES: Final = {"identifier_type": "varchar", "priority": "integer", "is_strong": "boolean"}


def stage_shop(native: duckdb.DuckDBPyConnection, *, events: int, per_customer: int) -> None:
    """Fill an empty warehouse: staged events, identity, and a first run at AS_OF that has no feature dates yet."""
    connection = DuckDBConnection(native)
    ensure_raw_tables(connection)
    for schema in ("staging", "identity"):
        native.execute(f"create schema {schema}")
    create_table(connection, "identity.memberships", {f.name: SQL_TYPES[f.type] for f in MEMBERSHIPS})
    for table, columns in CONTROL.items():
        create_table(connection, f"control.{table}", columns)
    write_table(connection, "control.identifier_types", load_rules(None).types_table(), TYPES)
    native.execute(
        f"insert into control.current_run by name select {AS_OF} as as_of, 'EUR' as reporting_currency, 1 as run_seq"
    )
    native.execute(EVENTS.format(size=events, per_customer=per_customer))
    native.execute(IDENTITY)
