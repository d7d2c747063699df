-- One row per (customer, as_of_date) of customers with an order known by then: what they did on every channel.
with buyers as (
    select
        customer_id,
        as_of_date,
        as_of
    from {{ ref('order_features') }}
),

known_events as (
    select
        buyers.customer_id,
        buyers.as_of_date,
        buyers.as_of,
        events.occurred_at,
        events.event,
        events.channel,
        {{ opens_session('buyers.customer_id, buyers.as_of', 'events.occurred_at') }} as opens_session
    from {{ ref('events') }} as events
    inner join {{ ref('evidence_customers') }} as evidence_customers on events.evidence_id = evidence_customers.evidence_id
    inner join buyers
        on evidence_customers.customer_id = buyers.customer_id and evidence_customers.as_of = buyers.as_of
    where events.known_at < buyers.as_of and events.occurred_at < buyers.as_of
),

activity_features as (
    select
        customer_id,
        as_of_date,
        max(occurred_at) as last_event_at,
        count(distinct channel) as channel_count,
        {{ count_within('occurred_at', 'as_of', 30, 'opens_session = 1') }} as session_count_30d,
        {{ count_within('occurred_at', 'as_of', 90, 'opens_session = 1') }} as session_count_90d,
        {{ count_within('occurred_at', 'as_of', 30, "event = 'Product Viewed'") }} as product_view_count_30d,
        {{ count_within('occurred_at', 'as_of', 90, "event = 'Product Viewed'") }} as product_view_count_90d,
        {{ count_within('occurred_at', 'as_of', 30, "event = 'Product Added'") }} as cart_add_count_30d
    from known_events
    group by customer_id, as_of_date
)

select * from activity_features
