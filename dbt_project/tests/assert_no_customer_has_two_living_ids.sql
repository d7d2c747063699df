-- Every id ever given out leads to one living customer, and who is living is nobody else: following an id twice leads no further.
{{ config(meta={'dagster': {'ref': {'name': 'customer_redirects'}}}) }}

select
    redirects.customer_id,
    redirects.living_customer_id,
    beyond.living_customer_id as beyond_customer_id
from {{ ref('customer_redirects') }} as redirects
inner join {{ ref('customer_redirects') }} as beyond on redirects.living_customer_id = beyond.customer_id
where beyond.living_customer_id <> redirects.living_customer_id
