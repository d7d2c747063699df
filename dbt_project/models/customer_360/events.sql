-- One row per event known to this run, with the customer it belongs to now (null: nobody's).
{{ config(materialized='view') }}

with events as (
    select * from {{ ref('stg_events') }}
    where known_at < {{ as_of() }}
),

event_customers as (
    select * from {{ ref('event_customers') }}
),

joined as (
    select
        events.landed_seq,
        event_customers.customer_id,
        event_customers.evidence_id,
        events.source,
        events.message_id,
        events.type,
        events.event,
        events.occurred_at,
        events.known_at,
        events.channel,
        events.device_type,
        events.country,
        events.region,
        events.city,
        events.campaign_source,
        events.campaign_medium,
        events.campaign_name,
        events.product_id,
        events.category,
        events.order_id
    from events
    left join event_customers on events.landed_seq = event_customers.landed_seq
)

select * from joined
