-- One row per pair of identifiers seen together in an event: how often, when, and whether it joined them or which rule kept them apart.
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

-- the rules that kept pairs apart, from the few rows that tell of them; 1 outranks 2
in_review as (
    select evidence_identifiers.*
    from evidence_identifiers
    inner join {{ source('engine', 'review_queue') }} as review_queue on evidence_identifiers.evidence_id = review_queue.evidence_id
    where review_queue.known_to is null
),

walls as (
    select
        decision_seq,
        side,
        {{ identifier_id('identifier_type', 'identifier_value') }} as identifier_id
    from {{ source('control', 'identity_decisions') }}
    where action = 'wall'
),

reasons as (
    select
        pairs.identifier_id_a as one_id,
        pairs.identifier_id_b as other_id,
        1 as reason
    from pairs
    inner join walls as one on pairs.identifier_id_a = one.identifier_id
    inner join walls as other
        on pairs.identifier_id_b = other.identifier_id and one.decision_seq = other.decision_seq and one.side <> other.side
    union all
    select
        set_aside.identifier_id as one_id,
        beside.identifier_id as other_id,
        case when set_aside.reason = 'wall' then 1 else 2 end as reason
    from {{ source('engine', 'set_aside') }} as set_aside
    inner join evidence_identifiers as beside on set_aside.evidence_id = beside.evidence_id
    union all
    select
        one.identifier_id as one_id,
        other.identifier_id as other_id,
        3 as reason
    from in_review as one
    inner join in_review as other on one.evidence_id = other.evidence_id and one.identifier_id < other.identifier_id
),

apart as (
    select
        least(one_id, other_id) as identifier_id_a,
        greatest(one_id, other_id) as identifier_id_b,
        min(reason) as reason
    from reasons
    where one_id <> other_id
    group by least(one_id, other_id), greatest(one_id, other_id)
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
            when apart.reason = 1 then 'forbidden'
            when apart.reason = 2 then 'set aside'
            when apart.reason = 3 then 'review'
            when one.standing = 'shared' or other.standing = 'shared' then 'shared'
            else 'weak groups'
        end as kept_apart_by
    from pairs
    inner join nodes as one on pairs.identifier_id_a = one.identifier_id
    inner join nodes as other on pairs.identifier_id_b = other.identifier_id
    left join apart on pairs.identifier_id_a = apart.identifier_id_a and pairs.identifier_id_b = apart.identifier_id_b
)

select * from edges
