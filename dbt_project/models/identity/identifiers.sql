-- One row per identifier seen by this run.
{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key='identifier_id', on_schema_change='fail',
    pre_hook="{{ delete_touched() }}"
) }}

with event_evidence as (
    select * from {{ ref('event_evidence') }}
    where known_at < {{ as_of() }}
),

event_identifiers as (
    select * from {{ ref('event_identifiers') }}
    {% if is_incremental() %}
    where identifier_id in (
        select touched.identifier_id
        from {{ ref('event_identifiers') }} as touched
        where touched.landed_seq in (
            select landed_seq from {{ ref('event_evidence') }}
            where {{ is_new_event() }}
        )
    )
    {% endif %}
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
