-- One row per evidence set and date in use (feature dates and the run's own): whose events they are, as known then.
-- The customer of an event is that of its first identifier by (priority, value) that belongs to one.
with evidence as (
    select * from {{ ref('evidence') }}
),

evidence_identifiers as (
    select * from {{ ref('evidence_identifiers') }}
),

memberships as (
    select * from {{ source('engine', 'memberships') }}
),

identifier_types as (
    select * from {{ source('control', 'identifier_types') }}
),

dates_in_use as (
    select as_of from {{ source('control', 'feature_dates') }}
    union
    select as_of from {{ source('control', 'current_run') }}
),

candidates as (
    select
        evidence.evidence_id,
        dates_in_use.as_of,
        memberships.customer_id,
        row_number() over (
            partition by evidence.evidence_id, dates_in_use.as_of
            order by identifier_types.priority nulls last, memberships.identifier_type, memberships.identifier_value
        ) as choice
    from evidence
    inner join dates_in_use on evidence.first_known_at < dates_in_use.as_of
    inner join evidence_identifiers on evidence.evidence_id = evidence_identifiers.evidence_id
    inner join memberships
        on
            evidence_identifiers.identifier_id = memberships.identifier_id
            and memberships.known_from <= dates_in_use.as_of
            and (memberships.known_to is null or dates_in_use.as_of < memberships.known_to)
    left join identifier_types on memberships.identifier_type = identifier_types.identifier_type
),

owners as (
    select
        evidence_id,
        as_of,
        customer_id
    from candidates
    where choice = 1
)

select * from owners
