-- One row per (customer, as_of_date) of customers with an order known by then: what they did on every channel.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key=['customer_id', 'as_of_date'], on_schema_change='fail') }}

with buyers as (
    select
        order_features.customer_id,
        order_features.as_of_date
    from {{ ref('order_features') }} as order_features
    where true {{ and_redone_at_date('customer_id', 'order_features') }}
),

buyer_evidence as (
    select known_evidence.*
    from {{ ref('known_evidence') }} as known_evidence
    inner join buyers on known_evidence.customer_id = buyers.customer_id and known_evidence.as_of_date = buyers.as_of_date
),

known_events as (
    select
        buyer_evidence.customer_id,
        buyer_evidence.as_of_date,
        buyer_evidence.as_of,
        events.occurred_at,
        events.event,
        events.channel,
        events.channel = 'web' and {{ is_own_act('events.event') }} as is_online,
        {{ opens_session(
            "buyer_evidence.customer_id, buyer_evidence.as_of_date, events.channel = 'web' and " ~ is_own_act('events.event'),
            'events.occurred_at', 'events.landed_seq'
        ) }} as opens_session
    from {{ ref('stg_events') }} as events
    inner join {{ ref('event_evidence') }} as event_evidence on events.landed_seq = event_evidence.landed_seq
    inner join buyer_evidence
        on
            event_evidence.evidence_id = buyer_evidence.evidence_id
            and {{ is_owner_at('buyer_evidence', 'event_evidence.ordered_at') }}
    where events.known_at < buyer_evidence.as_of and events.occurred_at < buyer_evidence.as_of
),

activity_features as (
    select
        customer_id,
        as_of_date,
        max(occurred_at) as last_event_at,
        count(distinct channel) as channel_count,
        {{ count_within('occurred_at', 'as_of', 30, 'is_online and opens_session = 1') }} as session_count_30d,
        {{ count_within('occurred_at', 'as_of', 90, 'is_online and opens_session = 1') }} as session_count_90d,
        {{ count_within('occurred_at', 'as_of', 30, "event = 'Product Viewed'") }} as product_view_count_30d,
        {{ count_within('occurred_at', 'as_of', 90, "event = 'Product Viewed'") }} as product_view_count_90d,
        {{ count_within('occurred_at', 'as_of', 30, "event = 'Product Added'") }} as cart_add_count_30d
    from known_events
    group by customer_id, as_of_date
)

select * from activity_features
