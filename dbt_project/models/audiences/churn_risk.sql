-- One row per customer of the upper three fifths by revenue who will probably not order again in the next 90 days, but was here within a year.
select
    customer_id,
    'churn probability of ' || cast(cast({{ rounded('churn_probability * 100', 0) }} as bigint) as varchar) || ' %' as entered_because
from {{ ref('profiles') }}
where
    churn_probability >= 0.6
    and monetary_quintile >= 3
    and last_seen_at >= {{ minus_days(as_of(), 365) }}
