{# Whose events the evidence sets are, as known at each instant of `dates` (a relation with the column as_of): the customer of the
   first identifier by (priority, value) that belongs to one then. One row per evidence set known by then and instant, of those that `condition` leaves. #}
{% macro evidence_owners(dates, condition) %}
select
    evidence_id,
    as_of,
    customer_id
from (
    select
        evidence_identifiers.evidence_id,
        dates.as_of,
        memberships.customer_id,
        row_number() over (
            partition by evidence_identifiers.evidence_id, dates.as_of
            order by identifier_types.priority nulls last, memberships.identifier_type, memberships.identifier_value
        ) as choice
    from {{ ref('evidence_identifiers') }} as evidence_identifiers
    inner join {{ ref('evidence') }} as evidence on evidence_identifiers.evidence_id = evidence.evidence_id
    inner join {{ source('engine', 'memberships') }} as memberships
        on evidence_identifiers.identifier_id = memberships.identifier_id
    inner join {{ dates }} as dates
        on
            evidence.first_known_at < dates.as_of
            and memberships.known_from <= dates.as_of
            and (memberships.known_to is null or dates.as_of < memberships.known_to)
    left join {{ source('control', 'identifier_types') }} as identifier_types
        on memberships.identifier_type = identifier_types.identifier_type
    where true {{ condition }}
) as candidates
where choice = 1
{% endmacro %}
