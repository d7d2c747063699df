-- Who holds an identifier now is one row of the 360.
{{ config(meta={'dagster': {'ref': {'name': 'customers'}}}) }}

with members as (
    select distinct customer_id
    from {{ source('engine', 'memberships') }}
    where known_to is null
),

counted as (
    select
        members.customer_id,
        count(customers.customer_id) as row_count
    from members
    left join {{ ref('customers') }} as customers on members.customer_id = customers.customer_id
    group by members.customer_id
)

select * from counted
where row_count <> 1
