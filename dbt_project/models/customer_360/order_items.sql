-- One row per line of an order. An order that came whole is its newest event; lines that came one by one are added up.
with order_events as (
    select * from {{ ref('stg_events') }}
    where event = 'Order Completed' and order_id is not null and known_at < {{ as_of() }}
),

ranked as (
    select
        *,
        row_number() over (
            partition by source, order_id, is_partial order by occurred_at desc, known_at desc, landed_seq desc
        ) as newest,
        min(case when is_partial then 1 else 0 end) over (partition by source, order_id) as only_partial
    from order_events
),

standing as (
    select * from ranked
    where (not is_partial and newest = 1) or only_partial = 1
),

lines as (
    select
        landed_seq,
        source,
        order_id,
        occurred_at,
        known_at,
        currency,
        {{ json_elements('products') }} as product
    from standing
    where products is not null
),

order_items as (
    select
        source || ':' || order_id as order_key,
        landed_seq,
        {{ json_text('product', 'product_id') }} as product_id,
        {{ json_text('product', 'name') }} as product_name,
        {{ json_text('product', 'category') }} as category,
        occurred_at as ordered_at,
        known_at,
        currency,
        coalesce(cast({{ json_text('product', 'quantity') }} as decimal(18, 4)), 1) as quantity,
        coalesce(cast({{ json_text('product', 'price') }} as decimal(18, 4)), 0) as price_amount,
        coalesce(cast({{ json_text('product', 'discount') }} as decimal(18, 4)), 0) as discount_amount
    from lines
)

select * from order_items
