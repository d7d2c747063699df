-- One row per evidence set that the last whole build may have given to another customer, or of which it did not know all events. Empty where everything is
-- built again. An order changes as a whole: all evidence of its events, and of its refunds, is touched by one of them.
with this_run as (
    select * from {{ source('control', 'current_run') }}
),

changed_identifiers as (
    select distinct membership_changes.identifier_id
    from {{ source('engine', 'membership_changes') }} as membership_changes
    inner join this_run on membership_changes.run_seq > this_run.since_run_seq
),

order_evidence as (
    select * from {{ ref('order_evidence') }}
),

refunds_with_news as (
    select distinct refund_key
    from order_evidence
    where is_news and refund_key is not null
),

orders_with_news as (
    select distinct order_key
    from order_evidence
    where (is_news or refund_key in (select refunds_with_news.refund_key from refunds_with_news)) and order_key is not null
),

touched as (
    select event_evidence.evidence_id
    from {{ ref('event_evidence') }} as event_evidence
    inner join this_run on event_evidence.known_at < this_run.as_of and {{ is_news('event_evidence', 'this_run') }}
    union
    select evidence_identifiers.evidence_id
    from {{ ref('evidence_identifiers') }} as evidence_identifiers
    inner join changed_identifiers on evidence_identifiers.identifier_id = changed_identifiers.identifier_id
    union
    select review_changes.evidence_id
    from {{ source('engine', 'review_changes') }} as review_changes
    inner join this_run on review_changes.run_seq > this_run.since_run_seq
    union
    select order_evidence.evidence_id
    from order_evidence
    inner join orders_with_news on order_evidence.order_key = orders_with_news.order_key
    where order_evidence.evidence_id is not null
    union
    select order_evidence.evidence_id
    from order_evidence
    inner join refunds_with_news on order_evidence.refund_key = refunds_with_news.refund_key
    where order_evidence.evidence_id is not null
)

select * from touched
