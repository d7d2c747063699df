-- One row per product of a source's catalogue, newest state.
with products as (
    select * from {{ source('raw', 'products') }}
),

renamed as (
    select
        product_id,
        source,
        name as product_name,
        category_path,
        price,
        currency,
        stock,
        is_repeatable,
        updated_at
    from products
)

select * from renamed
