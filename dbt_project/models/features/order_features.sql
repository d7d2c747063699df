-- One row per (customer, as_of_date) with an order known by then: what it had bought, as the orders stood and as the identity was known then.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key=['customer_id', 'as_of_date'], on_schema_change='fail') }}

with known_evidence as (
    select * from {{ ref('known_evidence') }}
),

known_orders as (
    select
        known_evidence.customer_id,
        known_evidence.as_of_date,
        known_evidence.as_of,
        order_versions.order_key,
        min(order_versions.ordered_at) as ordered_at,
        min(order_versions.channel) as channel,
        sum(order_versions.net_amount) as net_amount,
        sum(order_versions.discount_amount) as discount_amount
    from {{ ref('order_versions') }} as order_versions
    inner join known_evidence
        on
            order_versions.evidence_id = known_evidence.evidence_id
            and {{ is_owner_at('known_evidence', 'order_versions.evidence_at') }}
    where
        {{ stands_at('order_versions', 'known_evidence.as_of') }} and not order_versions.is_cancelled
        {{ and_redone_at_date('customer_id', 'known_evidence') }}
    group by known_evidence.customer_id, known_evidence.as_of_date, known_evidence.as_of, order_versions.order_key
),

ordered as (
    select
        *,
        cast(ordered_at as date) as order_day,
        lag(cast(ordered_at as date)) over (partition by customer_id, as_of_date order by ordered_at, order_key) as day_before,
        lead(order_key) over (partition by customer_id, as_of_date order by ordered_at, order_key) is null as is_last
    from known_orders
),

order_totals as (
    select
        customer_id,
        as_of_date,
        max(as_of) as as_of,
        count(*) as order_count,
        -- the first order of each day is the one whose day is not that of the order before
        count(case when order_day > day_before or day_before is null then 1 end) as order_day_count,
        {{ count_within('ordered_at', 'as_of', 90, '(order_day > day_before or day_before is null)') }} as order_day_count_90d,
        max(case when order_day > day_before then day_before end) as last_order_day_but_one,
        cast(coalesce(sum((order_day - day_before) * (order_day - day_before)), 0) as bigint) as squared_gap_days,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at,
        {{ count_within('ordered_at', 'as_of', 30) }} as order_count_30d,
        {{ count_within('ordered_at', 'as_of', 90) }} as order_count_90d,
        {{ count_within('ordered_at', 'as_of', 365) }} as order_count_365d,
        {{ count_within('ordered_at', 'as_of', 365, 'ordered_at < ' ~ minus_days('as_of', 275)) }} as order_count_same_season,
        count(case when discount_amount > 0 then 1 end) as discounted_order_count,
        count(case when channel = 'web' then 1 end) as online_order_count,
        cast(max(case when is_last then net_amount end) as float8) as last_order_amount,
        cast(max(net_amount) as float8) as largest_order_amount,
        cast(sum(net_amount) as float8) as order_amount,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 30) }} as float8) as order_amount_30d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 90) }} as float8) as order_amount_90d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 180) }} as float8) as order_amount_180d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 365) }} as float8) as order_amount_365d,
        cast(sum(discount_amount) as float8) as discount_amount
    from ordered
    group by customer_id, as_of_date
),

channels as (
    select
        customer_id,
        as_of_date,
        count(*) as order_count
    from known_orders
    group by customer_id, as_of_date, channel
),

main_channels as (
    select
        customer_id,
        as_of_date,
        max(order_count) as main_channel_order_count
    from channels
    group by customer_id, as_of_date
),

order_features as (
    select
        order_totals.customer_id,
        order_totals.as_of_date,
        order_totals.as_of,
        order_totals.order_count,
        order_totals.order_day_count,
        order_totals.order_day_count_90d,
        order_totals.first_order_at,
        order_totals.last_order_at,
        order_totals.last_order_day_but_one,
        order_totals.squared_gap_days,
        order_totals.order_count_30d,
        order_totals.order_count_90d,
        order_totals.order_count_365d,
        order_totals.order_count_same_season,
        order_totals.discounted_order_count,
        order_totals.online_order_count,
        main_channels.main_channel_order_count,
        order_totals.last_order_amount,
        order_totals.largest_order_amount,
        order_totals.order_amount,
        order_totals.order_amount_30d,
        order_totals.order_amount_90d,
        order_totals.order_amount_180d,
        order_totals.order_amount_365d,
        order_totals.discount_amount
    from order_totals
    inner join main_channels on order_totals.customer_id = main_channels.customer_id and order_totals.as_of_date = main_channels.as_of_date
)

select * from order_features
