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
        coalesce(catalogue.product_id, ordered.product_id) as product_id,
        coalesce(catalogue.product_name, ordered.product_name) as product_name,
        coalesce(catalogue.category, ordered.category) as category,
        catalogue.stock,
        catalogue.is_repeatable
    from ordered
    full outer join (select * from catalogue where place = 1) as catalogue on ordered.product_id = catalogue.product_id
)

select * from products
