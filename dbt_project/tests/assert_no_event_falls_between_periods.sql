-- Periods of a shared identifier cover all events that it gives to somebody: none of a set that is somebody's is nobody's.
{{ config(meta={'dagster': {'ref': {'name': 'evidence_customers'}}}) }}

with periods as (
    select * from {{ ref('evidence_customers') }}
    where valid_from is not null
),

events as (
    select
        landed_seq,
        evidence_id,
        ordered_at
    from {{ ref('event_evidence') }}
    where
        known_at < {{ as_of() }}
        and evidence_id in (select periods.evidence_id from periods)
)

select events.*
from events
left join periods on events.evidence_id = periods.evidence_id and {{ is_owner_at('periods', 'events.ordered_at') }}
where periods.evidence_id is null
