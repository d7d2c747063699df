-- One row per event known to this run that is somebody's: the customer it belongs to under the current map. Event rows are never rewritten.
{{ config(materialized='view') }}

with event_evidence as (
    select * from {{ ref('event_evidence') }}
),

evidence_customers as (
    select * from {{ ref('evidence_customers') }}
    where as_of = {{ as_of() }}
),

owned as (
    select
        event_evidence.landed_seq,
        event_evidence.evidence_id,
        evidence_customers.customer_id
    from event_evidence
    inner join evidence_customers on event_evidence.evidence_id = evidence_customers.evidence_id
    where event_evidence.known_at < {{ as_of() }}
)

select * from owned
