"""Made-up customers for the publication benchmark, as a served build would hold them, and what changes in a day."""

from typing import Final

AUDIENCES: Final = tuple(f"audience_{number:02d}" for number in range(20))

CUSTOMERS: Final = """
    create table {name} as
    select
        substr(md5('customer' || i), 1, 20) as customer_id,
        substr(md5('mail' || i), 1, 16) as email_hash,
        '2025-0' || (1 + h % 9) || '-11' as first_seen_on,
        '2026-10-' || (10 + h % 20) as last_seen_on,
        h % 40 + {change} as order_count,
        cast((h % 100000) / 37 as decimal(18, 2)) as net_revenue,
        h % 365 as recency_days,
        h % 17 as session_count_30d,
        h % 3 = 0 as is_identified,
        'cat_' || (h % 24) as top_category,
        cast((h % 1000) / 1000 as decimal(9, 3)) as churn_probability,
        cast((h % 90000) / 11 as decimal(18, 2)) as expected_net_revenue_90d,
        (['FR', 'DE', 'US', 'GB', 'ES'])[1 + h % 5] as country,
        list_sort(list_transform(range(1 + h % 9), lambda k: 'audience_' || lpad(cast((h + k * 7 + {change}) % 20 as varchar), 2, '0')))
            as audiences
    from (select i, cast(hash(i) >> 12 as bigint) as h from range({size}) as t (i))
"""
"""Twelve fields, and 1 to 9 of the 20 audiences; `change` is 0, or an expression that is 1 for the customers who changed."""

ONE_PERCENT: Final = "if(hash(i, 5) % 100 = 0, 1, 0)"

REST: Final = """
    create table identifiers_{name} as
    select 'email' as identifier_type, email_hash || '@mail.example' as identifier_value, customer_id from {name}
    union all
    select 'anonymous_id', md5(customer_id), customer_id from {name};

    create table members_{name} as
    select unnest(audiences) as audience, customer_id from {name} order by audience;
"""
