-- One row per customer among the fifth of buyers who are expected to bring most in the next 90 days.
with ranked as (
    select
        customer_id,
        expected_net_revenue_90d,
        ntile(5) over (order by expected_net_revenue_90d desc, customer_id) as value_fifth
    from {{ ref('profiles') }}
    where expected_net_revenue_90d is not null
)

select
    customer_id,
    'expected net revenue of ' || cast(cast({{ rounded('expected_net_revenue_90d', 0) }} as bigint) as varchar) || ' in 90 days' as entered_because
from ranked
where value_fifth = 1 and expected_net_revenue_90d > 0
