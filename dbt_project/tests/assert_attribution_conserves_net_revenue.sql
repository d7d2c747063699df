-- By every model the touches of an order share the whole of it: shares add up to one and amounts to its net revenue, and no order is left out.
{{ config(meta={'dagster': {'ref': {'name': 'touchpoints'}}}) }}

with refunded as (
    select
        order_key,
        sum(net_amount) as net_amount
    from {{ ref('refunds') }}
    group by order_key
),

attributed as (
    select
        order_key,
        {%- for model in attribution_models() %}
        sum({{ model }}_share) as {{ model }}_share,
        sum({{ model }}_net_revenue) as {{ model }}_net_revenue{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('touchpoints') }}
    where order_key is not null
    group by order_key
)

select
    orders.order_key,
    orders.net_amount,
    refunded.net_amount as refund_amount
from {{ ref('orders') }} as orders
left join refunded on orders.order_key = refunded.order_key
left join attributed on orders.order_key = attributed.order_key
where
    attributed.order_key is null
    {%- for model in attribution_models() %}
    or attributed.{{ model }}_share <> 1
    or attributed.{{ model }}_net_revenue <> orders.net_amount - coalesce(refunded.net_amount, 0)
    {%- endfor %}
