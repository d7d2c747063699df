-- One row per customer and purpose: allowed only where the newest word of every identity merged into the customer allows it (the refusal wins).
with events as (
    select
        events.customer_id,
        events.evidence_id,
        events.landed_seq,
        events.occurred_at,
        landed.consent
    from {{ ref('events') }} as events
    inner join {{ ref('stg_events') }} as landed on events.landed_seq = landed.landed_seq
    where events.customer_id is not null and landed.consent is not null
),

purposes as (
    select
        *,
        {{ json_object_keys('consent') }} as purpose
    from events
),

stated as (
    select
        customer_id,
        purpose,
        {{ json_text_at('consent', 'purpose') }} = 'true' as is_allowed,
        row_number() over (partition by customer_id, evidence_id, purpose order by occurred_at desc, landed_seq desc) as newest
    from purposes
),

consents as (
    select
        customer_id,
        purpose,
        bool_and(is_allowed) as is_allowed
    from stated
    where newest = 1
    group by customer_id, purpose
)

select * from consents
