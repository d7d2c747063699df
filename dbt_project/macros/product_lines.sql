{# The lines of the orders or refunds in `relation` (columns landed_seq and products), typed: one row per line, as its event gives it. #}
{% macro product_lines(relation) %}
select
    landed_seq,
    {{ json_text('product', 'product_id') }} as product_id,
    {{ json_text('product', 'name') }} as product_name,
    {{ json_text('product', 'category') }} as category,
    cast(coalesce({{ amount_or_null(json_text('product', 'quantity')) }}, 1) as decimal(18, 4)) as quantity,
    cast(coalesce({{ amount_or_null(json_text('product', 'price')) }}, 0) as decimal(18, 4)) as price_amount,
    cast(coalesce({{ amount_or_null(json_text('product', 'discount')) }}, 0) as decimal(18, 4)) as discount_amount
from (
    select
        landed_seq,
        {{ json_elements('products') }} as product
    from {{ relation }}
    where products is not null
) as listed
{% endmacro %}

{# Those lines added up: one row per event that has lines. #}
{% macro product_totals(relation) %}
select
    landed_seq,
    {{ bounded_amount('sum(quantity * price_amount)') }} as gross_amount,
    {{ bounded_amount('sum(discount_amount)') }} as discount_amount,
    sum(quantity) as item_count
from ({{ product_lines(relation) }}) as product_lines
group by landed_seq
{% endmacro %}
