-- One row per order whose rows may differ from the last whole build: it or one of its refunds has an event that is news, or its identifiers may be another
-- customer's. Empty where everything is built again.
with order_evidence as (
    select
        order_evidence.*,
        order_evidence.is_news or touched_evidence.evidence_id is not null as is_touched
    from {{ ref('order_evidence') }} as order_evidence
    left join {{ ref('touched_evidence') }} as touched_evidence on order_evidence.evidence_id = touched_evidence.evidence_id
),

touched_refunds as (
    select distinct refund_key
    from order_evidence
    where is_touched and refund_key is not null
)

select distinct order_key
from order_evidence
where order_key is not null and (is_touched or refund_key in (select touched_refunds.refund_key from touched_refunds))
