"""Customer 360 as one would write it for this one shop: one statement over the staged events, the columns of customer_360.customers."""

from typing import Final

from bench.staged_shop import AS_OF


def _windows(amount: str, name: str, instant: str, days: tuple[int, ...]) -> str:
    return ", ".join(
        f"coalesce(sum(case when {instant} >= {AS_OF} - interval {d} day then {amount} end), 0) as {name}_{d}d"
        for d in days
    )


OWN_ACT = "event <> 'Message Sent'"
CONSENTS = ("analytics", "personalisation", "advertising", "sharing")

BY_HAND: Final = f"""
create table c360 as
with owners as (
    select evidence_id, arg_min(customer_id, (priority, identifier_type, identifier_value)) as customer_id
    from identity.evidence_identifiers inner join identity.memberships using (identifier_id)
    left join control.identifier_types using (identifier_type)
    group by evidence_id
),
e as materialized (
    select
        customer_id, landed_seq, type, event, stg_events.occurred_at as occurred_at, channel, device_type, country, region, city,
        campaign_source, campaign_name, category, revenue, order_id, consent
    from staging.stg_events
    inner join identity.event_evidence using (landed_seq)
    inner join owners using (evidence_id)
),
contacts as (
    select
        customer_id, arg_max(identifier_value, last_seen_at) filter (identifier_type = 'user_id') as user_id,
        arg_max(identifier_value, last_seen_at) filter (identifier_type = 'email') as email,
        arg_max(identifier_value, last_seen_at) filter (identifier_type = 'phone') as phone,
        arg_max(identifier_value, last_seen_at) filter (identifier_type = 'loyalty_id') as loyalty_id,
        count(*) as identifier_count, count(*) filter (is_strong) as strong_identifier_count
    from identity.identifiers inner join identity.memberships using (identifier_id, identifier_type, identifier_value)
    left join control.identifier_types using (identifier_type)
    group by customer_id
),
acts as (
    select
        customer_id, min(occurred_at) as first_seen_at, max(occurred_at) as last_seen_at,
        max(occurred_at) filter ({OWN_ACT}) as last_active_at, count(*) as event_count, count(distinct channel) as channel_count,
        string_agg(distinct channel, ',' order by channel) as channels,
        string_agg(distinct device_type, ',' order by device_type) as device_types,
        count(*) filter (type in ('page', 'screen')) as page_view_count, count(*) filter (event = 'Product Viewed') as product_view_count,
        count(*) filter (event = 'Product Added') as cart_add_count,
        {_windows("case when event = 'Product Viewed' then 1 end", "product_view_count", "occurred_at", (7, 30))},
        {_windows("case when event = 'Product Added' then 1 end", "cart_add_count", "occurred_at", (30,))},
        count(*) filter (event in ('Product Reviewed', 'Product Shared', 'Cart Shared', 'Invite Sent')) > 0 as is_advocate,
        arg_min(campaign_source, occurred_at) as first_touch_source, arg_min(campaign_name, occurred_at) as first_touch_campaign,
        arg_max(campaign_source, occurred_at) as last_touch_source, arg_max(campaign_name, occurred_at) as last_touch_campaign,
        arg_max(country, occurred_at) as country, arg_max(region, occurred_at) as region, arg_max(city, occurred_at) as city
    from e group by customer_id
),
moves as (
    select customer_id, count(*) filter (place <> before) as place_change_count
    from (
        select customer_id, country || region || city as place,
        lag(country || region || city) over (partition by customer_id order by occurred_at, landed_seq) as before
        from e
    ) group by customer_id
),
sessions as (
    select
        customer_id, number, min(occurred_at) as started_at, max(occurred_at) filter (event = 'Product Added') as last_cart_add_at,
        count(*) filter (event = 'Product Added') > count(*) filter (event = 'Product Removed') as has_cart
    from (
        select *, sum(opens) over (partition by customer_id order by occurred_at, landed_seq rows unbounded preceding) as number
        from (
            select customer_id, landed_seq, occurred_at, event, if(occurred_at <= lag(occurred_at) over (
                partition by customer_id order by occurred_at, landed_seq) + interval 30 minute, 0, 1) as opens
            from e where channel = 'web' and {OWN_ACT}
        )
    )
    group by customer_id, number
),
orders as (select customer_id, order_id, occurred_at as ordered_at, revenue from e where event = 'Order Completed'),
visits as (
    select
        customer_id, count(*) as session_count, {_windows("1", "session_count", "started_at", (7, 30, 90))},
        count(last_cart_add_at) as cart_count,
        count(*) filter (abandoned) as abandoned_cart_count, max(last_cart_add_at) filter (abandoned) as last_abandoned_cart_at
    from (
        select *, has_cart and last_cart_add_at + interval 24 hour <= {AS_OF} and not exists (
            select 1 from orders where orders.customer_id = sessions.customer_id and ordered_at >= last_cart_add_at
            and ordered_at < last_cart_add_at + interval 24 hour) as abandoned
        from sessions
    ) group by customer_id
),
bought as (
    select
        customer_id, count(*) as order_count, min(ordered_at) as first_order_at, max(ordered_at) as last_order_at,
        {_windows("1", "order_count", "ordered_at", (7, 30, 90, 365))}, 0 as refund_count, 0 as refund_amount,
        sum(revenue) as net_revenue,
        {_windows("revenue", "net_revenue", "ordered_at", (7, 30, 90, 365))}, avg(revenue) as average_order_value,
        date_diff('second', min(ordered_at), max(ordered_at)) / 86400
        / nullif(count(distinct ordered_at::date) - 1, 0) as mean_days_between_orders
    from orders group by customer_id
),
rfm as (
    select
        customer_id, 1 + (5 * (rank() over (order by last_order_at) - 1)) // count(*) over () as recency_quintile,
        1 + (5 * (rank() over (order by order_count) - 1)) // count(*) over () as frequency_quintile,
        1 + (5 * (rank() over (order by net_revenue) - 1)) // count(*) over () as monetary_quintile
    from bought
),
interest as (
    select customer_id, category, sum(weight * power(0.5, date_diff('microsecond', occurred_at, {AS_OF}) / 86400e6 / 30)) as interest
    from (
        select customer_id, category, occurred_at,
        case event when 'Product Viewed' then 1 when 'Product Added' then 3 when 'Order Completed' then 10 end as weight from e
    ) where weight is not null group by customer_id, category
),
top as (
    select customer_id, arg_max(category, interest) as top_category, max(interest) / sum(interest) as top_category_share
    from interest group by customer_id
),
consent as (
    select customer_id, {", ".join(f"arg_max(consent ->> '$.{c}', occurred_at) = 'true' as has_consent_{c}" for c in CONSENTS)}
    from e where consent is not null group by customer_id
)
select
    *,
    case
        when last_active_at is null or last_active_at < {AS_OF} - interval 90 day then 'lapsed'
        when (order_count >= 2 or first_order_at < {AS_OF} - interval 30 day) and is_advocate then 'advocacy'
        when order_count >= 2 or first_order_at < {AS_OF} - interval 30 day then 'retention'
        when order_count >= 1 then 'purchase' when strong_identifier_count > 0 or cart_add_count > 0 then 'consideration' else 'awareness'
    end as journey_stage,
    least(strong_identifier_count * 15, 30) + least(channel_count * 5, 15)
    + case when last_active_at >= {AS_OF} - interval 30 day then 20 when last_active_at >= {AS_OF} - interval 90 day then 10 else 0 end
    + if(email is not null, 5, 0) + if(phone is not null, 5, 0) + if(country is not null, 5, 0) + if(order_count > 0, 5, 0)
    + if(has_consent_analytics or has_consent_personalisation or has_consent_advertising or has_consent_sharing, 15, 0) as profile_strength
from contacts
left join acts using (customer_id) left join moves using (customer_id) left join visits using (customer_id)
left join bought using (customer_id)
left join rfm using (customer_id) left join top using (customer_id) left join consent using (customer_id)
"""
