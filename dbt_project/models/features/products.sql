-- One row per product of a catalogue or of an order: the newest a catalogue says of it, else the name and category of its order lines.
{{ config(materialized='view') }}

with catalogue as (
    select
        product_id,
        product_name,
        category_path as category,
        stock,
        is_repeatable,
        row_number() over (partition by product_id order by updated_at desc nulls last, source) as place
    from {{ ref('stg_products') }}
),

newest as (
    select * from catalogue
    where place = 1
),

ordered as (
    select
        product_id,
        max(product_name) as product_name,
        max(category) as category
    from {{ ref('order_items') }}
    where product_id is not null
    group by product_id
),

products as (
    select
        coalesce(newest.product_id, ordered.product_id) as product_id,
        coalesce(newest.product_name, ordered.product_name) as product_name,
        coalesce(newest.category, ordered.category) as category,
        newest.stock,
        newest.is_repeatable
    from ordered
    full outer join newest on ordered.product_id = newest.product_id
)

select * from products
