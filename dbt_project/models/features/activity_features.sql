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
        events.landed_seq,
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

-- products put into a cart, and the next thing that happened to it: another product, or an order on whatever channel
cart_events as (
    select
        customer_id,
        as_of_date,
        as_of,
        event,
        occurred_at,
        lead(occurred_at) over (partition by customer_id, as_of_date order by occurred_at, landed_seq) as next_at
    from known_events
    where event in ('Product Added', 'Order Completed') and occurred_at >= {{ minus_days('as_of', 90) }}
),

abandoned as (
    select
        customer_id,
        as_of_date,
        count(*) as abandoned_cart_count_90d
    from cart_events
    where
        event = 'Product Added'
        and occurred_at + interval '1 hour' * {{ var('cart_abandoned_hours') }} <= as_of
        and (next_at is null or next_at >= occurred_at + interval '1 hour' * {{ var('cart_abandoned_hours') }})
    group by customer_id, as_of_date
),

acts as (
    select
        customer_id,
        as_of_date,
        max(occurred_at) as last_event_at,
        max(case when is_online then occurred_at end) as last_visit_at,
        count(distinct channel) as channel_count,
        count(case when is_online and opens_session = 1 then 1 end) as session_count,
        {{ count_within('occurred_at', 'as_of', 30, 'is_online and opens_session = 1') }} as session_count_30d,
        {{ count_within('occurred_at', 'as_of', 90, 'is_online and opens_session = 1') }} as session_count_90d,
        {{ count_within('occurred_at', 'as_of', 180, 'is_online and opens_session = 1') }} as session_count_180d,
        {{ count_within('occurred_at', 'as_of', 30, "event = 'Product Viewed'") }} as product_view_count_30d,
        {{ count_within('occurred_at', 'as_of', 90, "event = 'Product Viewed'") }} as product_view_count_90d,
        {{ count_within('occurred_at', 'as_of', 30, "event = 'Product Added'") }} as cart_add_count_30d,
        {{ count_within('occurred_at', 'as_of', 90, "event = 'Product Added'") }} as cart_add_count_90d,
        {{ count_within('occurred_at', 'as_of', 90, "event = 'Products Searched'") }} as search_count_90d,
        {{ count_within('occurred_at', 'as_of', 90, "event = 'Checkout Started'") }} as checkout_count_90d
    from known_events
    group by customer_id, as_of_date
),

activity_features as (
    select
        acts.customer_id,
        acts.as_of_date,
        acts.last_event_at,
        acts.last_visit_at,
        acts.channel_count,
        acts.session_count,
        acts.session_count_30d,
        acts.session_count_90d,
        acts.session_count_180d,
        acts.product_view_count_30d,
        acts.product_view_count_90d,
        acts.cart_add_count_30d,
        acts.cart_add_count_90d,
        acts.search_count_90d,
        acts.checkout_count_90d,
        coalesce(abandoned.abandoned_cart_count_90d, 0) as abandoned_cart_count_90d
    from acts
    left join abandoned on acts.customer_id = abandoned.customer_id and acts.as_of_date = abandoned.as_of_date
)

select * from activity_features
