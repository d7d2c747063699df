-- A feature row is of what was before its date: no order, event or customer of it is later.
{{ config(meta={'dagster': {'ref': {'name': 'customer_features'}}}) }}

select
    order_features.customer_id,
    order_features.as_of_date,
    order_features.as_of,
    order_features.last_order_at,
    activity_features.last_event_at
from {{ ref('order_features') }} as order_features
left join {{ ref('activity_features') }} as activity_features
    on order_features.customer_id = activity_features.customer_id and order_features.as_of_date = activity_features.as_of_date
where
    order_features.last_order_at >= order_features.as_of
    or activity_features.last_event_at >= order_features.as_of
    or order_features.as_of > {{ as_of() }}
