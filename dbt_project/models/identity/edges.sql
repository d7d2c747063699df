-- One row per pair of identifiers seen together in an event: how often, when, and whether it joined them or why not.
with evidence as (
    select * from {{ ref('evidence') }}
),

evidence_identifiers as (
    select * from {{ ref('evidence_identifiers') }}
),

nodes as (
    select * from {{ ref('nodes') }}
),

pairs as (
    select
        one.identifier_id as identifier_id_a,
        other.identifier_id as identifier_id_b,
        count(*) as evidence_count,
        sum(evidence.event_count) as event_count,
        min(evidence.first_at) as first_seen_at,
        max(evidence.last_occurred_at) as last_seen_at
    from evidence
    inner join evidence_identifiers as one on evidence.evidence_id = one.evidence_id
    inner join evidence_identifiers as other
        on one.evidence_id = other.evidence_id and one.identifier_id < other.identifier_id
    group by one.identifier_id, other.identifier_id
),

edges as (
    select
        pairs.identifier_id_a,
        pairs.identifier_id_b,
        cast(pairs.evidence_count as bigint) as evidence_count,
        cast(pairs.event_count as bigint) as event_count,
        pairs.first_seen_at,
        pairs.last_seen_at,
        coalesce(one.customer_id = other.customer_id, false) as has_joined,
        case
            when one.customer_id = other.customer_id then null
            when one.standing = 'hot' or other.standing = 'hot' then 'hot'
            when one.standing = 'blocked' or other.standing = 'blocked' then 'blocked'
            else 'rule'
        end as kept_apart_by
    from pairs
    inner join nodes as one on pairs.identifier_id_a = one.identifier_id
    inner join nodes as other on pairs.identifier_id_b = other.identifier_id
)

select * from edges
