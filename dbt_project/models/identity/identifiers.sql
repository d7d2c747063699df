-- One row per identifier seen by this run.
with event_identifiers as (
    select * from {{ ref('event_identifiers') }}
),

event_evidence as (
    select * from {{ ref('event_evidence') }}
    where known_at < {{ as_of() }}
),

seen as (
    select
        event_identifiers.identifier_id,
        event_identifiers.identifier_type,
        event_identifiers.identifier_value,
        min(event_evidence.occurred_at) as first_seen_at,
        max(event_evidence.occurred_at) as last_seen_at,
        count(*) as event_count
    from event_identifiers
    inner join event_evidence on event_identifiers.landed_seq = event_evidence.landed_seq
    group by event_identifiers.identifier_id, event_identifiers.identifier_type, event_identifiers.identifier_value
)

select * from seen
