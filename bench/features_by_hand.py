"""What somebody who knows the tables and DuckDB well would write: all features at all dates in one statement."""

from typing import Final

BY_HAND: Final = """
    create table by_hand as
    with owners as (
        select
            evidence_identifiers.evidence_id, dates.as_of_date, dates.as_of,
            arg_min(
                memberships.customer_id,
                (not types.is_strong, types.priority, memberships.identifier_type, memberships.identifier_value)
            ) as customer_id
        from identity.evidence_identifiers
        inner join identity.evidence using (evidence_id)
        inner join identity.memberships using (identifier_id)
        inner join control.identifier_types as types using (identifier_type)
        inner join control.feature_dates as dates on evidence.first_known_at < dates.as_of and memberships.known_from <= dates.as_of
        group by all
    ),
    bought as (
        select
            customer_id, as_of_date, owners.as_of, order_key, min(ordered_at) as ordered_at, min(channel) as channel,
            sum(net_amount) as net_amount, sum(discount_amount) as discount_amount
        from customer_360.order_versions inner join owners using (evidence_id)
        where known_at < as_of and (known_until is null or known_until >= as_of) and not is_cancelled
        group by all
    ),
    in_order as (
        select
            *, cast(ordered_at as date) as day, lag(day) over paid as day_before, lead(order_key) over paid is null as is_last
        from bought window paid as (partition by customer_id, as_of_date order by ordered_at, order_key)
    ),
    orders as (
        select
            customer_id, as_of_date, any_value(as_of) as as_of, count(*) as orders,
            count(*) filter (day > day_before or day_before is null) as days,
            count(*) filter ((day > day_before or day_before is null) and ordered_at >= as_of - interval 90 day) as days_90,
            as_of_date - cast(max(ordered_at) as date) as recency, as_of_date - cast(min(ordered_at) as date) as tenure,
            max(day) - max(day_before) filter (day > day_before) as last_gap, sum((day - day_before) ** 2) as squares,
            count(*) filter (ordered_at >= as_of - interval 30 day) as orders_30,
            count(*) filter (ordered_at >= as_of - interval 90 day) as orders_90,
            count(*) filter (ordered_at >= as_of - interval 365 day) as orders_365,
            count(*) filter (ordered_at >= as_of - interval 365 day and ordered_at < as_of - interval 275 day) as orders_season,
            count(*) filter (discount_amount > 0) as discounted, count(*) filter (channel = 'web') as online,
            max(net_amount) as largest, max(net_amount) filter (is_last) as last, sum(net_amount) as amount,
            coalesce(sum(net_amount) filter (ordered_at >= as_of - interval 30 day), 0) as amount_30,
            coalesce(sum(net_amount) filter (ordered_at >= as_of - interval 90 day), 0) as amount_90,
            coalesce(sum(net_amount) filter (ordered_at >= as_of - interval 180 day), 0) as amount_180,
            coalesce(sum(net_amount) filter (ordered_at >= as_of - interval 365 day), 0) as amount_365,
            sum(discount_amount) as discount
        from in_order group by customer_id, as_of_date
    ),
    channels as (
        select customer_id, as_of_date, max(orders) as main_channel
        from (select customer_id, as_of_date, channel, count(*) as orders from bought group by all) group by all
    ),
    paid_back as (
        select
            customer_id, as_of_date, owners.as_of, refund_key, min(refunded_at) as refunded_at, sum(net_amount) as net_amount
        from customer_360.refund_versions inner join owners using (evidence_id)
        where known_at < as_of and (known_until is null or known_until >= as_of) and not is_cancelled
        group by all
    ),
    refunds as (
        select
            customer_id, as_of_date, count(*) as refunds, count(*) filter (refunded_at >= as_of - interval 90 day) as refunds_90,
            sum(net_amount) as refunded,
            coalesce(sum(net_amount) filter (refunded_at >= as_of - interval 30 day), 0) as refunded_30,
            coalesce(sum(net_amount) filter (refunded_at >= as_of - interval 90 day), 0) as refunded_90,
            coalesce(sum(net_amount) filter (refunded_at >= as_of - interval 180 day), 0) as refunded_180,
            coalesce(sum(net_amount) filter (refunded_at >= as_of - interval 365 day), 0) as refunded_365
        from paid_back group by all
    ),
    lines as (
        select customer_id, as_of_date, as_of, order_key, ordered_at, line ->> 'product_id' as product_id, line ->> 'category' as category
        from (
            select order_key, evidence_id, ordered_at, known_at, known_until, unnest(cast(products as json[])) as line
            from customer_360.order_versions where not is_cancelled
        ) inner join owners using (evidence_id)
        where known_at < as_of and (known_until is null or known_until >= as_of)
    ),
    products as (
        select customer_id, as_of_date, count(*) as products, sum(orders) as ordered_products
        from (
            select customer_id, as_of_date, product_id, count(distinct order_key) as orders
            from lines where product_id is not null group by all
        ) group by all
    ),
    categories as (
        select
            customer_id, as_of_date, count(*) as categories, count(*) filter (last_at >= as_of - interval 90 day) as categories_90,
            sum(lines) as lines, max(lines) as top_lines
        from (
            select customer_id, as_of_date, category, any_value(as_of) as as_of, count(*) as lines, max(ordered_at) as last_at
            from lines where category is not null group by all
        ) group by all
    ),
    events as (
        select
            orders.customer_id, orders.as_of_date, orders.as_of, stg_events.landed_seq, stg_events.occurred_at, event, channel,
            channel = 'web' and coalesce(event, '') not in (
                'Message Sent', 'Message Delivered', 'Message Failed', 'Email Sent', 'Email Delivered', 'Email Bounced',
                'Push Notification Sent', 'Order Updated', 'Order Refunded'
            ) as is_online
        from staging.stg_events inner join identity.event_evidence using (landed_seq) inner join owners using (evidence_id)
        inner join orders using (customer_id, as_of_date)
        where stg_events.known_at < orders.as_of and stg_events.occurred_at < orders.as_of
    ),
    visits as (
        select
            *, is_online and coalesce(
                occurred_at > lag(occurred_at) over (partition by customer_id, as_of_date, is_online order by occurred_at, landed_seq)
                    + interval 30 minute, true
            ) as opens
        from events
    ),
    activity as (
        select
            customer_id, as_of_date, as_of_date - cast(max(occurred_at) as date) as last_event,
            as_of_date - cast(max(occurred_at) filter (is_online) as date) as last_visit, count(distinct channel) as channels,
            count(*) filter (opens) as sessions, count(*) filter (opens and occurred_at >= as_of - interval 30 day) as sessions_30,
            count(*) filter (opens and occurred_at >= as_of - interval 90 day) as sessions_90,
            count(*) filter (opens and occurred_at >= as_of - interval 180 day) as sessions_180,
            count(*) filter (event = 'Product Viewed' and occurred_at >= as_of - interval 30 day) as views_30,
            count(*) filter (event = 'Product Viewed' and occurred_at >= as_of - interval 90 day) as views_90,
            count(*) filter (event = 'Product Added' and occurred_at >= as_of - interval 30 day) as adds_30,
            count(*) filter (event = 'Product Added' and occurred_at >= as_of - interval 90 day) as adds_90,
            count(*) filter (event = 'Products Searched' and occurred_at >= as_of - interval 90 day) as searches,
            count(*) filter (event = 'Checkout Started' and occurred_at >= as_of - interval 90 day) as checkouts
        from visits group by customer_id, as_of_date
    ),
    carts as (
        select customer_id, as_of_date, count(*) as left_behind
        from (
            select *, lead(occurred_at) over (partition by customer_id, as_of_date order by occurred_at, landed_seq) as next_at
            from events where event in ('Product Added', 'Order Completed') and occurred_at >= as_of - interval 90 day
        )
        where event = 'Product Added' and occurred_at + interval 24 hour <= as_of
            and (next_at is null or next_at >= occurred_at + interval 24 hour)
        group by all
    ),
    identifiers as (
        select
            customer_id, as_of_date, count(distinct identifier_id) as identifiers,
            count(distinct identifier_id) filter (is_strong) as strong, count(distinct identifier_type) as types
        from identity.memberships inner join control.identifier_types using (identifier_type)
        inner join control.feature_dates as dates on known_from <= dates.as_of
        group by all
    )
    select
        customer_id, as_of_date, cast(recency as double) as recency_days, cast(tenure as double) as tenure_days,
        cast(last_event as double) as days_since_last_event, orders as order_count, days as order_day_count,
        orders_30 as order_count_30d, orders_90 as order_count_90d, orders_365 as order_count_365d,
        cast(amount - coalesce(refunded, 0) as double) as net_revenue,
        cast(amount_30 - coalesce(refunded_30, 0) as double) as net_revenue_30d,
        cast(amount_90 - coalesce(refunded_90, 0) as double) as net_revenue_90d,
        cast(amount_365 - coalesce(refunded_365, 0) as double) as net_revenue_365d,
        cast(amount as double) / orders as average_order_value, coalesce(refunds, 0) as refund_count,
        coalesce(cast(refunded as double) / nullif(cast(amount as double), 0), 0) as refund_share,
        cast(tenure - recency as double) / nullif(days - 1, 0) as mean_days_between_orders,
        recency / nullif(mean_days_between_orders, 0) as recency_to_rhythm, coalesce(products, 0) as distinct_product_count,
        coalesce(categories, 0) as distinct_category_count, coalesce(ordered_products, 0) / orders as items_per_order,
        coalesce(sessions_30, 0) as session_count_30d, coalesce(sessions_90, 0) as session_count_90d,
        coalesce(views_30, 0) as product_view_count_30d, coalesce(views_90, 0) as product_view_count_90d,
        coalesce(adds_30, 0) as cart_add_count_30d, coalesce(channels, 0) as channel_count,
        coalesce(cast(discount as double) / nullif(cast(amount + discount as double), 0), 0) as discount_share,
        coalesce(identifiers, 0) as identifier_count,
        cast(amount_180 - coalesce(refunded_180, 0) as double) as net_revenue_180d,
        coalesce((2 * net_revenue_90d - net_revenue_180d) / nullif(abs(net_revenue_90d) + abs(net_revenue_180d - net_revenue_90d), 0), 0)
            as order_amount_trend,
        days_90 as order_day_count_90d, cast(last as double) as last_order_value, cast(largest as double) as largest_order_value,
        if(days >= 3, sqrt(greatest(squares / (days - 1) - mean_days_between_orders ** 2, 0)) / mean_days_between_orders, null)
            as gap_variation,
        cast(last_gap as double) as last_gap_days, orders_season as order_count_same_season, coalesce(refunds_90, 0) as refund_count_90d,
        discounted / orders as discounted_order_share, coalesce(top_lines / lines, 0) as top_category_share,
        coalesce(categories_90, 0) as category_count_90d,
        coalesce((ordered_products - products) / nullif(ordered_products, 0), 0) as repeat_product_share,
        online / orders as online_order_share, main_channel / orders as main_channel_share, coalesce(sessions, 0) as session_count,
        coalesce((2 * sessions_90 - sessions_180) / nullif(sessions_180, 0), 0) as session_trend,
        cast(last_visit as double) as days_since_last_visit,
        coalesce(views_90 / nullif(sessions_90, 0), 0) as product_view_count_per_session_90d,
        coalesce(searches, 0) as search_count_90d, coalesce(adds_90, 0) as cart_add_count_90d, coalesce(checkouts, 0) as checkout_count_90d,
        coalesce(left_behind, 0) as abandoned_cart_count_90d, coalesce(strong, 0) as strong_identifier_count,
        coalesce(types, 0) as identifier_type_count
    from orders
    inner join channels using (customer_id, as_of_date)
    left join refunds using (customer_id, as_of_date)
    left join products using (customer_id, as_of_date)
    left join categories using (customer_id, as_of_date)
    left join activity using (customer_id, as_of_date)
    left join carts using (customer_id, as_of_date)
    left join identifiers using (customer_id, as_of_date)
"""
"""Owners that a person or a shared device could have are left out: the made-up shop has none, and the models pay for them."""
