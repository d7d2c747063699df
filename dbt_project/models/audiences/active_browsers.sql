-- One row per customer who looked at three or more products in the last 30 days and bought nothing in them.
select
    customer_id,
    cast(product_view_count_30d as varchar) || ' product views in 30 days, no order' as entered_because
from {{ ref('profiles') }}
where product_view_count_30d >= 3 and order_count_30d = 0
