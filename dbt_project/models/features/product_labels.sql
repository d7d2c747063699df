-- One row per (customer, as_of_date, horizon, product): what the customer who holds the row's anchor today bought in [date, date + horizon).
{{ config(materialized='view') }}

with labels as (
    select
        customer_labels.customer_id,
        customer_labels.as_of_date,
        customer_labels.horizon_days,
        feature_dates.as_of,
        feature_dates.as_of + interval '1 day' * customer_labels.horizon_days as until,
        customer_redirects.living_customer_id
    from {{ ref('customer_labels') }} as customer_labels
    inner join {{ source('control', 'feature_dates') }} as feature_dates on customer_labels.as_of_date = feature_dates.as_of_date
    inner join {{ ref('customer_redirects') }} as customer_redirects on customer_labels.customer_id = customer_redirects.customer_id
    where customer_labels.order_count_in_horizon > 0
),

product_labels as (
    select distinct
        labels.customer_id,
        labels.as_of_date,
        labels.horizon_days,
        order_items.product_id
    from labels
    inner join {{ ref('orders') }} as orders
        on
            labels.living_customer_id = orders.customer_id
            and labels.as_of <= orders.ordered_at
            and orders.ordered_at < labels.until
    inner join {{ ref('order_items') }} as order_items on orders.order_key = order_items.order_key
    where order_items.product_id is not null
)

select * from product_labels
