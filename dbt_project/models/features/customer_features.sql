-- One row per (customer, as_of_date) for customers with an order known by then. Only what was known before the date, tied by the identity known then.
-- The same rows train and score: the run's own date is one of the dates.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key=['customer_id', 'as_of_date'], on_schema_change='fail') }}

with orders as (
    select * from {{ ref('order_features') }} as order_features
    where true {{ and_redone_at_date('customer_id', 'order_features') }}
),

products as (
    select * from {{ ref('product_features') }}
),

refunds as (
    select * from {{ ref('refund_features') }}
),

activity as (
    select * from {{ ref('activity_features') }}
),

identifiers_of_type as (
    select
        memberships.customer_id,
        orders.as_of_date,
        memberships.identifier_type,
        -- a shared one has a row per period
        count(case when memberships.valid_from is null then 1 end)
        + count(distinct case when memberships.valid_from is not null then memberships.identifier_id end) as identifier_count
    from {{ source('engine', 'memberships') }} as memberships
    inner join orders
        on
            memberships.customer_id = orders.customer_id
            and {{ is_known_at('memberships', 'orders.as_of') }}
    group by memberships.customer_id, orders.as_of_date, memberships.identifier_type
),

identifiers as (
    select
        identifiers_of_type.customer_id,
        identifiers_of_type.as_of_date,
        cast(sum(identifiers_of_type.identifier_count) as bigint) as identifier_count,
        cast(sum(case when identifier_types.is_strong then identifiers_of_type.identifier_count else 0 end) as bigint) as strong_identifier_count,
        count(*) as identifier_type_count
    from identifiers_of_type
    left join {{ source('control', 'identifier_types') }} as identifier_types on identifiers_of_type.identifier_type = identifier_types.identifier_type
    group by identifiers_of_type.customer_id, identifiers_of_type.as_of_date
),

net as (
    select
        orders.*,
        {{ whole_days_between('orders.last_order_at', 'orders.as_of') }} as recency_days,
        {{ whole_days_between('orders.first_order_at', 'orders.as_of') }} as tenure_days,
        {{ whole_days_between('orders.first_order_at', 'orders.last_order_at') }} / nullif(orders.order_day_count - 1, 0) as mean_days_between_orders,
        {{ whole_days_between('orders.last_order_day_but_one', 'orders.last_order_at') }} as last_gap_days,
        coalesce(refunds.refund_count, 0) as refund_count,
        coalesce(refunds.refund_count_90d, 0) as refund_count_90d,
        coalesce(refunds.refund_amount, 0) as refund_amount,
        orders.order_amount - coalesce(refunds.refund_amount, 0) as net_revenue,
        orders.order_amount_30d - coalesce(refunds.refund_amount_30d, 0) as net_revenue_30d,
        orders.order_amount_90d - coalesce(refunds.refund_amount_90d, 0) as net_revenue_90d,
        orders.order_amount_180d - coalesce(refunds.refund_amount_180d, 0) as net_revenue_180d,
        orders.order_amount_365d - coalesce(refunds.refund_amount_365d, 0) as net_revenue_365d
    from orders
    left join refunds on orders.customer_id = refunds.customer_id and orders.as_of_date = refunds.as_of_date
),

customer_features as (
    select
        net.customer_id,
        net.as_of_date,
        cast(net.recency_days as float8) as recency_days,
        cast(net.tenure_days as float8) as tenure_days,
        cast({{ whole_days_between('activity.last_event_at', 'net.as_of') }} as float8) as days_since_last_event,
        net.order_count,
        net.order_day_count,
        net.order_count_30d,
        net.order_count_90d,
        net.order_count_365d,
        net.net_revenue,
        net.net_revenue_30d,
        net.net_revenue_90d,
        net.net_revenue_365d,
        net.order_amount / net.order_count as average_order_value,
        net.refund_count,
        coalesce(net.refund_amount / nullif(net.order_amount, 0), 0) as refund_share,
        cast(net.mean_days_between_orders as float8) as mean_days_between_orders,
        cast(net.recency_days / nullif(net.mean_days_between_orders, 0) as float8) as recency_to_rhythm,
        coalesce(products.distinct_product_count, 0) as distinct_product_count,
        coalesce(products.distinct_category_count, 0) as distinct_category_count,
        cast(coalesce(products.ordered_product_count, 0) as float8) / net.order_count as items_per_order,
        coalesce(activity.session_count_30d, 0) as session_count_30d,
        coalesce(activity.session_count_90d, 0) as session_count_90d,
        coalesce(activity.product_view_count_30d, 0) as product_view_count_30d,
        coalesce(activity.product_view_count_90d, 0) as product_view_count_90d,
        coalesce(activity.cart_add_count_30d, 0) as cart_add_count_30d,
        coalesce(activity.channel_count, 0) as channel_count,
        coalesce(net.discount_amount / nullif(net.order_amount + net.discount_amount, 0), 0) as discount_share,
        coalesce(identifiers.identifier_count, 0) as identifier_count,
        coalesce(
            (2 * net.net_revenue_90d - net.net_revenue_180d) / nullif(abs(net.net_revenue_90d) + abs(net.net_revenue_180d - net.net_revenue_90d), 0), 0
        ) as order_amount_trend,
        net.order_day_count_90d,
        net.net_revenue_180d,
        net.last_order_amount as last_order_value,
        net.largest_order_amount as largest_order_value,
        case
            when net.order_day_count >= 3
                then
                    sqrt(greatest(
                        cast(net.squared_gap_days as float8) / (net.order_day_count - 1) - net.mean_days_between_orders * net.mean_days_between_orders, 0
                    ))
                    / net.mean_days_between_orders
        end as gap_variation,
        net.last_gap_days,
        net.order_count_same_season,
        net.refund_count_90d,
        cast(net.discounted_order_count as float8) / net.order_count as discounted_order_share,
        coalesce(cast(products.top_category_line_count as float8) / nullif(products.categorised_line_count, 0), 0) as top_category_share,
        coalesce(products.category_count_90d, 0) as category_count_90d,
        coalesce(
            cast(products.ordered_product_count - products.distinct_product_count as float8) / nullif(products.ordered_product_count, 0), 0
        ) as repeat_product_share,
        cast(net.online_order_count as float8) / net.order_count as online_order_share,
        cast(net.main_channel_order_count as float8) / net.order_count as main_channel_share,
        coalesce(activity.session_count, 0) as session_count,
        coalesce(cast(2 * activity.session_count_90d - activity.session_count_180d as float8) / nullif(activity.session_count_180d, 0), 0) as session_trend,
        {{ whole_days_between('activity.last_visit_at', 'net.as_of') }} as days_since_last_visit,
        coalesce(cast(activity.product_view_count_90d as float8) / nullif(activity.session_count_90d, 0), 0) as product_view_count_per_session_90d,
        coalesce(activity.search_count_90d, 0) as search_count_90d,
        coalesce(activity.cart_add_count_90d, 0) as cart_add_count_90d,
        coalesce(activity.checkout_count_90d, 0) as checkout_count_90d,
        coalesce(activity.abandoned_cart_count_90d, 0) as abandoned_cart_count_90d,
        coalesce(identifiers.strong_identifier_count, 0) as strong_identifier_count,
        coalesce(identifiers.identifier_type_count, 0) as identifier_type_count
    from net
    left join products on net.customer_id = products.customer_id and net.as_of_date = products.as_of_date
    left join activity on net.customer_id = activity.customer_id and net.as_of_date = activity.as_of_date
    left join identifiers on net.customer_id = identifiers.customer_id and net.as_of_date = identifiers.as_of_date
)

select * from customer_features
