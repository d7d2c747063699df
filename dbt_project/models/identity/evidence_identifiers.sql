-- One row per evidence set and identifier in it. A set never changes: only those that are not here yet are added.
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail', pre_hook="{{ delete_touched() }}"
) }}

with evidence as (
    select * from {{ ref('evidence') }} as known
    {% if is_incremental() %}
    where not exists (
        select 1 from {{ this }} as here
        where here.evidence_id = known.evidence_id
    )
    {% endif %}
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
