-- One row per online visit of a customer: what it did itself, with no more than the session gap between one event and the next. The campaign is the
-- first that the visit has.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with events as (
    select *
    from (
        {{ touched_events([
            'source', 'type', 'event', 'occurred_at', 'channel', 'device_type', 'campaign_source', 'campaign_medium', 'campaign_name', 'order_id'
        ]) }}
    ) as touched_events
    where channel = 'web' and {{ is_own_act('event') }}
),

marked as (
    select
        *,
        {{ opens_session('customer_id', 'occurred_at', 'landed_seq') }} as opens_session
    from events
),

numbered as (
    select
        *,
        sum(opens_session) over (partition by customer_id order by occurred_at, landed_seq rows unbounded preceding) as session_number
    from marked
),

sessions as (
    select
        customer_id || '-' || cast(cast(session_number as bigint) as varchar) as session_id,
        customer_id,
        cast(session_number as bigint) as session_number,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        count(*) as event_count,
        count(case when type in ('page', 'screen') then 1 end) as page_view_count,
        count(case when event = 'Product Viewed' then 1 end) as product_view_count,
        count(case when event = 'Products Searched' then 1 end) as search_count,
        count(case when event = 'Product Added' then 1 end) as cart_add_count,
        count(case when event = 'Product Removed' then 1 end) as cart_remove_count,
        -- an order may come line by line
        count(distinct case when event = 'Order Completed' then source || ':' || order_id end) as order_count,
        max(case when event = 'Product Added' then occurred_at end) as last_cart_add_at,
        {{ value_at_first('device_type', 'occurred_at, landed_seq', 'device_type is not null') }} as device_type,
        {{ value_at_first('campaign_source', 'occurred_at, landed_seq', 'campaign_source is not null') }} as campaign_source,
        {{ value_at_first('campaign_medium', 'occurred_at, landed_seq', 'campaign_source is not null') }} as campaign_medium,
        {{ value_at_first('campaign_name', 'occurred_at, landed_seq', 'campaign_source is not null') }} as campaign_name
    from numbered
    group by customer_id, session_number
)

select * from sessions
