-- No order and no refund is lost on the way to the reporting currency: each event of one is a version of it.
{{ config(meta={'dagster': {'ref': {'name': 'order_versions'}}}) }}

with told as (
    select landed_seq from {{ ref('events') }}
    where
        event = 'Order Refunded'
        or (event in ('Order Completed', 'Order Updated', 'Order Cancelled') and order_id is not null)
),

priced as (
    select landed_seq from {{ ref('order_versions') }}
    union all
    select landed_seq from {{ ref('refund_versions') }}
)

select told.landed_seq
from told
left join priced on told.landed_seq = priced.landed_seq
where priced.landed_seq is null
