-- One row per customer: the 360, as of the run clock.
with contacts as (
    select * from {{ ref('contacts') }}
),

activity as (
    select * from {{ ref('activity') }}
),

visits as (
    select * from {{ ref('visits') }}
),

purchases as (
    select * from {{ ref('purchases') }}
),

top_category as (
    select * from {{ ref('category_affinity') }}
    where interest_rank = 1
),

favourites as (
    select
        customer_id,
        string_agg(product_id, ',' order by interest_rank) as favourite_products
    from {{ ref('product_affinity') }}
    where interest_rank <= {{ var('favourite_product_count') }}
    group by customer_id
),

consent as (
    select
        customer_id,
        coalesce(bool_or(is_allowed and purpose = 'analytics'), false) as has_consent_analytics,
        coalesce(bool_or(is_allowed and purpose = 'personalisation'), false) as has_consent_personalisation,
        coalesce(bool_or(is_allowed and purpose = 'advertising'), false) as has_consent_advertising,
        coalesce(bool_or(is_allowed and purpose = 'sharing'), false) as has_consent_sharing
    from {{ ref('consents') }}
    group by customer_id
),

rfm as (
    select
        customer_id,
        {{ quintile('last_order_at') }} as recency_quintile,
        {{ quintile('order_count') }} as frequency_quintile,
        {{ quintile('net_revenue') }} as monetary_quintile
    from purchases
    where order_count > 0
),

joined as (
    select
        contacts.customer_id,
        contacts.user_id,
        contacts.email,
        contacts.phone,
        contacts.loyalty_id,
        contacts.email_count,
        contacts.phone_count,
        contacts.device_count,
        contacts.cookie_count,
        contacts.identifier_count,
        contacts.strong_identifier_count,
        contacts.strong_identifier_count > 0 as is_identified,
        activity.first_seen_at,
        activity.last_seen_at,
        activity.last_active_at,
        activity.first_touch_source,
        activity.first_touch_campaign,
        activity.last_touch_source,
        activity.last_touch_campaign,
        activity.channels,
        coalesce(activity.channel_count, 0) as channel_count,
        activity.device_types,
        activity.country,
        activity.region,
        activity.city,
        coalesce(activity.place_change_count, 0) as place_change_count,
        coalesce(activity.event_count, 0) as event_count,
        coalesce(activity.page_view_count, 0) as page_view_count,
        coalesce(activity.product_view_count, 0) as product_view_count,
        coalesce(activity.product_view_count_7d, 0) as product_view_count_7d,
        coalesce(activity.product_view_count_30d, 0) as product_view_count_30d,
        coalesce(activity.product_view_count_90d, 0) as product_view_count_90d,
        coalesce(activity.product_view_count_365d, 0) as product_view_count_365d,
        coalesce(activity.cart_add_count, 0) as cart_add_count,
        coalesce(activity.cart_add_count_7d, 0) as cart_add_count_7d,
        coalesce(activity.cart_add_count_30d, 0) as cart_add_count_30d,
        coalesce(activity.cart_add_count_90d, 0) as cart_add_count_90d,
        coalesce(activity.cart_add_count_365d, 0) as cart_add_count_365d,
        coalesce(visits.session_count, 0) as session_count,
        coalesce(visits.session_count_7d, 0) as session_count_7d,
        coalesce(visits.session_count_30d, 0) as session_count_30d,
        coalesce(visits.session_count_90d, 0) as session_count_90d,
        coalesce(visits.session_count_365d, 0) as session_count_365d,
        coalesce(visits.cart_count, 0) as cart_count,
        coalesce(visits.abandoned_cart_count, 0) as abandoned_cart_count,
        visits.last_abandoned_cart_at,
        coalesce(purchases.order_count, 0) as order_count,
        coalesce(purchases.order_count_7d, 0) as order_count_7d,
        coalesce(purchases.order_count_30d, 0) as order_count_30d,
        coalesce(purchases.order_count_90d, 0) as order_count_90d,
        coalesce(purchases.order_count_365d, 0) as order_count_365d,
        purchases.first_order_at,
        purchases.last_order_at,
        coalesce(purchases.refund_count, 0) as refund_count,
        cast(coalesce(purchases.refund_amount, 0) as decimal(18, 4)) as refund_amount,
        cast(coalesce(purchases.net_revenue, 0) as decimal(18, 4)) as net_revenue,
        cast(coalesce(purchases.net_revenue_7d, 0) as decimal(18, 4)) as net_revenue_7d,
        cast(coalesce(purchases.net_revenue_30d, 0) as decimal(18, 4)) as net_revenue_30d,
        cast(coalesce(purchases.net_revenue_90d, 0) as decimal(18, 4)) as net_revenue_90d,
        cast(coalesce(purchases.net_revenue_365d, 0) as decimal(18, 4)) as net_revenue_365d,
        purchases.average_order_value,
        purchases.mean_days_between_orders,
        top_category.category as top_category,
        cast(top_category.interest_share as float8) as top_category_share,
        favourites.favourite_products,
        rfm.recency_quintile,
        rfm.frequency_quintile,
        rfm.monetary_quintile,
        coalesce(consent.has_consent_analytics, false) as has_consent_analytics,
        coalesce(consent.has_consent_personalisation, false) as has_consent_personalisation,
        coalesce(consent.has_consent_advertising, false) as has_consent_advertising,
        coalesce(consent.has_consent_sharing, false) as has_consent_sharing,
        coalesce(activity.advocacy_count, 0) > 0 as is_advocate
    from contacts
    left join activity on contacts.customer_id = activity.customer_id
    left join visits on contacts.customer_id = visits.customer_id
    left join purchases on contacts.customer_id = purchases.customer_id
    left join top_category on contacts.customer_id = top_category.customer_id
    left join favourites on contacts.customer_id = favourites.customer_id
    left join rfm on contacts.customer_id = rfm.customer_id
    left join consent on contacts.customer_id = consent.customer_id
),

customers as (
    select
        joined.*,
        {{ journey_stage() }} as journey_stage,
        {{ profile_strength() }} as profile_strength
    from joined
)

select * from customers
