-- One row per distinct set of identifiers that an event known to this run carries, at its earliest key. What the engine decides on.
with event_evidence as (
    select * from {{ ref('event_evidence') }}
    where known_at < {{ as_of() }}
),

ranked as (
    select
        *,
        row_number() over (partition by evidence_id order by ordered_at, source, message_id) as key_rank
    from event_evidence
),

sets as (
    select
        evidence_id,
        min(ordered_at) as first_at,
        max(case when key_rank = 1 then source end) as first_source,
        max(case when key_rank = 1 then message_id end) as first_message_id,
        min(known_at) as first_known_at,
        max(occurred_at) as last_occurred_at,
        count(*) as event_count
    from ranked
    group by evidence_id
)

select * from sets
