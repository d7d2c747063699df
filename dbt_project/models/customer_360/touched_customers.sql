-- One row per customer whose rows may differ from the last whole build: who held or holds identifiers that changed hands or carry news, at any date, and whose
-- events passed the edge of a window since then. Every customer where everything is built again.
with this_run as (
    select * from {{ source('control', 'current_run') }}
),

memberships as (
    select * from {{ source('engine', 'memberships') }}
),

touched_identifiers as (
    select distinct evidence_identifiers.identifier_id
    from {{ ref('evidence_identifiers') }} as evidence_identifiers
    inner join {{ ref('touched_evidence') }} as touched_evidence on evidence_identifiers.evidence_id = touched_evidence.evidence_id
),

passing as (
    select events.landed_seq
    from {{ ref('stg_events') }} as events
    cross join this_run
    where
        {{ passed_edges('events.occurred_at', [7, 30, 90, 365], 'this_run') }}
        or (
            events.event = 'Product Added'
            and events.occurred_at + interval '1 hour' * {{ var('cart_abandoned_hours') }} > this_run.since_as_of
            and events.occurred_at + interval '1 hour' * {{ var('cart_abandoned_hours') }} <= this_run.as_of
        )
),

-- an order's day is that of its first event, and it is the buyer's whoever told of it
dated as (
    select
        customer_id,
        ordered_at as occurred_at
    from {{ ref('orders') }}
    union all
    select
        customer_id,
        refunded_at as occurred_at
    from {{ ref('refunds') }}
),

touched as (
    select memberships.customer_id
    from memberships
    inner join this_run on this_run.since_run_seq is null
    union
    select membership_changes.customer_id
    from {{ source('engine', 'membership_changes') }} as membership_changes
    inner join this_run on membership_changes.run_seq > this_run.since_run_seq
    union
    select memberships.customer_id
    from memberships
    inner join touched_identifiers on memberships.identifier_id = touched_identifiers.identifier_id
    union
    select evidence_customers.customer_id
    from passing
    inner join {{ ref('event_evidence') }} as event_evidence on passing.landed_seq = event_evidence.landed_seq
    inner join {{ ref('evidence_customers') }} as evidence_customers
        on
            event_evidence.evidence_id = evidence_customers.evidence_id
            and {{ is_owner_at('evidence_customers', 'event_evidence.ordered_at') }}
    union
    select dated.customer_id
    from dated
    inner join this_run on {{ passed_edges('dated.occurred_at', [7, 30, 90, 365], 'this_run') }}
)

select * from touched
where customer_id is not null
