-- One row per customer who left a cart in the last 30 days and has not ordered since.
select
    customer_id,
    'left a cart on ' || cast(cast(last_abandoned_cart_at as date) as varchar) as entered_because
from {{ ref('profiles') }}
where
    last_abandoned_cart_at >= {{ minus_days(as_of(), 30) }}
    and (last_order_at is null or last_order_at < last_abandoned_cart_at)
