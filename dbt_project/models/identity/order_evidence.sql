-- One row per event of an order or a refund known to this run: which one it tells of, the identifiers it carries, and whether the last whole build knew it.
{{ config(materialized='view') }}

with events as (
    select * from {{ ref('stg_events') }}
    where event in ('Order Completed', 'Order Updated', 'Order Cancelled', 'Order Refunded')
),

event_evidence as (
    select * from {{ ref('event_evidence') }}
),

this_run as (
    select * from {{ source('control', 'current_run') }}
),

order_evidence as (
    select
        events.landed_seq,
        event_evidence.evidence_id,
        {{ order_key('events') }} as order_key,
        case when events.event = 'Order Refunded' then {{ refund_key('events') }} end as refund_key,
        coalesce({{ is_news('events', 'this_run') }}, false) as is_news
    from events
    cross join this_run
    left join event_evidence on events.landed_seq = event_evidence.landed_seq
    where events.known_at < this_run.as_of
)

select * from order_evidence
