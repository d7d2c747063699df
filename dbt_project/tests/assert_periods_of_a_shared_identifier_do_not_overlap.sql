-- At any instant a shared identifier is one customer's, whatever date it is known at; and an identifier is shared or one customer's, not both.
{{ config(meta={'dagster': {'ref': {'name': 'evidence_customers'}}}) }}

with shared as (
    select * from {{ source('engine', 'memberships') }}
    where valid_from is not null
)

select
    shared.identifier_id,
    shared.customer_id,
    shared.valid_from,
    shared.valid_to,
    others.customer_id as other_customer_id,
    others.valid_from as other_valid_from
from shared
inner join {{ source('engine', 'memberships') }} as others
    on
        shared.identifier_id = others.identifier_id
        and (
            others.valid_from is null
            or shared.valid_from < others.valid_from
            or (shared.valid_from = others.valid_from and shared.customer_id < others.customer_id)
        )
        and (others.valid_from is null or shared.valid_to > others.valid_from)
        and (shared.known_to is null or shared.known_to > others.known_from)
        and (others.known_to is null or others.known_to > shared.known_from)
union all
select
    shared.identifier_id,
    shared.customer_id,
    shared.valid_from,
    shared.valid_to,
    null as other_customer_id,
    null as other_valid_from
from shared
where shared.valid_to is null or shared.valid_to <= shared.valid_from
