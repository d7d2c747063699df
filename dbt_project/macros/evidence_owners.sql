{# Whose events the evidence sets are, as known at each instant of `dates` (a relation with the column as_of), of the sets that `condition` leaves:
   the customer of the first strong identifier, else of the first weak one that is one customer's (valid_from and valid_to are null: at any time),
   else one row per period of the first shared one. Of a set that waits for review its strong identifiers do not count. A shared identifier takes part in the
   choice as one row: its periods are joined to the sets that chose it, and to no others. #}
{% macro evidence_owners(dates, condition) %}
select
    chosen.evidence_id,
    chosen.as_of,
    coalesce(chosen.customer_id, periods.customer_id) as customer_id,
    periods.valid_from,
    periods.valid_to
from (
    select
        evidence_identifiers.evidence_id,
        dates.as_of,
        members.customer_id,
        members.shared_identifier_id,
        row_number() over (
            partition by evidence_identifiers.evidence_id, dates.as_of
            order by
                case when members.shared_identifier_id is null then 0 else 1 end,
                case when identifier_types.is_strong then 0 else 1 end,
                identifier_types.priority nulls last,
                members.identifier_type,
                members.identifier_value
        ) as choice
    from {{ ref('evidence_identifiers') }} as evidence_identifiers
    inner join {{ ref('evidence') }} as evidence on evidence_identifiers.evidence_id = evidence.evidence_id
    inner join (
        select
            identifier_id,
            identifier_type,
            identifier_value,
            customer_id,
            cast(null as varchar) as shared_identifier_id,
            known_from,
            known_to
        from {{ source('engine', 'memberships') }}
        where valid_from is null
        union all
        select distinct
            identifier_id,
            identifier_type,
            identifier_value,
            cast(null as varchar) as customer_id,
            identifier_id as shared_identifier_id,
            known_from,
            known_to
        from {{ source('engine', 'memberships') }}
        where valid_from is not null
    ) as members on evidence_identifiers.identifier_id = members.identifier_id
    inner join {{ dates }} as dates
        on
            evidence.first_known_at < dates.as_of
            and {{ is_known_at('members', 'dates.as_of') }}
    left join {{ source('control', 'identifier_types') }} as identifier_types
        on members.identifier_type = identifier_types.identifier_type
    left join {{ source('engine', 'review_queue') }} as in_review
        on
            evidence_identifiers.evidence_id = in_review.evidence_id
            and {{ is_known_at('in_review', 'dates.as_of') }}
    where (in_review.evidence_id is null or not coalesce(identifier_types.is_strong, false)) {{ condition }}
) as chosen
left join {{ source('engine', 'memberships') }} as periods
    on
        chosen.shared_identifier_id = periods.identifier_id
        and periods.valid_from is not null
        and {{ is_known_at('periods', 'chosen.as_of') }}
where chosen.choice = 1
{% endmacro %}

{# Whether rows with a known interval (known_to null: still) hold at an instant. #}
{% macro is_known_at(rows, instant) -%}
    {{ rows }}.known_from <= {{ instant }} and ({{ rows }}.known_to is null or {{ instant }} < {{ rows }}.known_to)
{%- endmacro %}

{# The join from events to rows of evidence_owners: whether the owner of a set of identifiers is that of its event at `instant`, which is
   always event_evidence.ordered_at. Nearly all sets are one customer's at any time. #}
{% macro is_owner_at(owners, instant) -%}
    ({{ owners }}.valid_from is null or ({{ instant }} >= {{ owners }}.valid_from and {{ instant }} < {{ owners }}.valid_to))
{%- endmacro %}
