-- One row per customer who has ordered, but not in the last 90 days.
select
    customer_id,
    'last order on ' || cast(cast(last_order_at as date) as varchar) as entered_because
from {{ ref('profiles') }}
where order_count > 0 and order_count_90d = 0
