-- One row per refund whose rows may differ from the last whole build: one of its events is of a touched order, or is news, or its identifiers may be another
-- customer's. Empty where everything is built again.
select distinct order_evidence.refund_key
from {{ ref('order_evidence') }} as order_evidence
left join {{ ref('touched_evidence') }} as touched_evidence on order_evidence.evidence_id = touched_evidence.evidence_id
left join {{ ref('touched_orders') }} as touched_orders on order_evidence.order_key = touched_orders.order_key
where
    order_evidence.refund_key is not null
    and (order_evidence.is_news or touched_evidence.evidence_id is not null or touched_orders.order_key is not null)
