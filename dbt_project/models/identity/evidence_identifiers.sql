-- One row per evidence set and identifier in it.
with evidence as (
    select * from {{ ref('evidence') }}
),

event_evidence as (
    select * from {{ ref('event_evidence') }}
),

event_identifiers as (
    select * from {{ ref('event_identifiers') }}
),

one_event_each as (
    select
        event_evidence.evidence_id,
        min(event_evidence.landed_seq) as landed_seq
    from event_evidence
    inner join evidence on event_evidence.evidence_id = evidence.evidence_id
    group by event_evidence.evidence_id
),

members as (
    select
        one_event_each.evidence_id,
        event_identifiers.identifier_id
    from one_event_each
    inner join event_identifiers on one_event_each.landed_seq = event_identifiers.landed_seq
)

select * from members
