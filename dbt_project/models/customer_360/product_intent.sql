-- One row per customer and product it viewed or put into a cart in the last intent_days and has not bought since: how strong the intent still is.
with acts as (
    select
        customer_id,
        product_id,
        event,
        occurred_at
    from {{ ref('events') }}
    where
        event in ('Product Viewed', 'Product Added', 'Product Removed')
        and occurred_at >= {{ minus_days(as_of(), var('intent_days')) }}
        and customer_id is not null
        and product_id is not null
),

bought as (
    select
        orders.customer_id,
        order_items.product_id,
        max(orders.ordered_at) as last_bought_at
    from {{ ref('order_items') }} as order_items
    inner join {{ ref('orders') }} as orders on order_items.order_key = orders.order_key
    where orders.ordered_at >= {{ minus_days(as_of(), var('intent_days')) }} and orders.customer_id is not null and order_items.product_id is not null
    group by orders.customer_id, order_items.product_id
),

open_acts as (
    select
        acts.customer_id,
        acts.product_id,
        acts.event,
        acts.occurred_at,
        max(case when acts.event = 'Product Removed' then acts.occurred_at end) over (partition by acts.customer_id, acts.product_id) as last_removed_at
    from acts
    left join bought on acts.customer_id = bought.customer_id and acts.product_id = bought.product_id
    where bought.last_bought_at is null or acts.occurred_at > bought.last_bought_at
),

weighed as (
    select
        *,
        event = 'Product Added' and (last_removed_at is null or occurred_at > last_removed_at) as is_in_cart,
        case when event = 'Product Viewed' then 1.0 when last_removed_at is null or occurred_at > last_removed_at then 3.0 else 0.0 end
        * {{ halved('occurred_at', as_of(), var('intent_half_life_days')) }} as intent
    from open_acts
    where event <> 'Product Removed'
),

summed as (
    select
        customer_id,
        product_id,
        count(case when event = 'Product Viewed' then 1 end) as view_count,
        bool_or(is_in_cart) as is_in_cart,
        max(occurred_at) as last_act_at,
        cast(sum(intent) as decimal(18, 6)) as intent
    from weighed
    group by customer_id, product_id
),

product_intent as (
    select
        customer_id,
        product_id,
        view_count,
        is_in_cart,
        last_act_at,
        intent,
        cast(row_number() over (partition by customer_id order by intent desc, last_act_at desc, product_id) as integer) as intent_rank
    from summed
    where intent > 0
)

select * from product_intent
