-- One row per event that carries an identifier: the set of identifiers it carries, and the event's place in time. Append only.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail') }}

with event_identifiers as (
    select * from {{ ref('event_identifiers') }}
    {% if is_incremental() %}
    where landed_seq > (select coalesce(max(landed.landed_seq), -1) from {{ this }} as landed)
    {% endif %}
),

events as (
    select * from {{ ref('stg_events') }}
    {% if is_incremental() %}
    where landed_seq > (select coalesce(max(landed.landed_seq), -1) from {{ this }} as landed)
    {% endif %}
),

sets as (
    select
        landed_seq,
        md5(string_agg(identifier_id, ',' order by identifier_id)) as evidence_id
    from event_identifiers
    group by landed_seq
),

placed as (
    select
        events.landed_seq,
        sets.evidence_id,
        events.source,
        events.message_id,
        events.occurred_at,
        events.known_at,
        -- a client's clock counts at most this far before known_at, so that a wrong clock cannot make itself the first evidence
        greatest(events.occurred_at, {{ minus_days('events.known_at', var('clock_trust_days')) }}) as ordered_at
    from sets
    inner join events on sets.landed_seq = events.landed_seq
)

select * from placed
