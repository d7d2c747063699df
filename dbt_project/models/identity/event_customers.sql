-- One row per event known to this run that is somebody's: the customer it belongs to under the current map. Event rows are never rewritten.
{{ config(materialized='view') }}

with event_evidence as (
    select * from {{ ref('event_evidence') }}
    where known_at < {{ as_of() }}
),

evidence_customers as (
    select * from {{ ref('evidence_customers') }}
),

owned as (
    select
        event_evidence.landed_seq,
        event_evidence.evidence_id,
        evidence_customers.customer_id
    from event_evidence
    inner join evidence_customers
        on
            event_evidence.evidence_id = evidence_customers.evidence_id
            and {{ is_owner_at('evidence_customers', 'event_evidence.ordered_at') }}
)

select * from owned
