-- One row per (customer, as_of_date) and product looked at or put into the cart in the 30 days before: by the identity known then. Recommendations read it.
{{ config(materialized='view') }}

with known_product_views as (
    select
        known_evidence.customer_id,
        known_evidence.as_of_date,
        events.product_id,
        events.occurred_at,
        events.event = 'Product Added' as is_cart
    from {{ ref('stg_events') }} as events
    inner join {{ ref('event_evidence') }} as event_evidence on events.landed_seq = event_evidence.landed_seq
    inner join {{ ref('known_evidence') }} as known_evidence
        on
            event_evidence.evidence_id = known_evidence.evidence_id
            and {{ is_owner_at('known_evidence', 'event_evidence.ordered_at') }}
    where
        events.event in ('Product Viewed', 'Product Added')
        and events.product_id is not null
        and events.known_at < known_evidence.as_of
        and events.occurred_at < known_evidence.as_of
        and events.occurred_at >= {{ minus_days('known_evidence.as_of', 30) }}
)

select * from known_product_views
