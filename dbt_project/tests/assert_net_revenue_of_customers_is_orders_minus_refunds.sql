-- What all customers brought is what their orders brought less what their refunds took back: nothing is lost or counted twice on the way.
{{ config(meta={'dagster': {'ref': {'name': 'customers'}}}) }}

with customers as (
    select coalesce(sum(net_revenue), 0) as amount from {{ ref('customers') }}
),

orders as (
    select coalesce(sum(net_amount), 0) as amount from {{ ref('orders') }}
    where customer_id is not null
),

refunds as (
    select coalesce(sum(net_amount), 0) as amount from {{ ref('refunds') }}
    where customer_id is not null
)

select
    customers.amount as customer_amount,
    orders.amount as order_amount,
    refunds.amount as refund_amount
from customers
cross join orders
cross join refunds
where customers.amount <> orders.amount - refunds.amount
