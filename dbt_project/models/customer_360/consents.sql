-- One row per customer and purpose: allowed only where every standing word allows it (of merged customers the refusal wins). A word stands until the customer
-- says another under one of its identifiers: who refuses on a new device and then allows it there when signed in has allowed it.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with events as (
    select
        event_customers.customer_id,
        stg_events.landed_seq,
        stg_events.occurred_at,
        stg_events.consent
    from {{ ref('stg_events') }} as stg_events
    inner join {{ ref('event_customers') }} as event_customers on stg_events.landed_seq = event_customers.landed_seq
    where stg_events.consent is not null {{ and_touched('customer_id', 'event_customers.customer_id') }}
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
        landed_seq,
        occurred_at,
        {{ json_is_true_at('consent', 'purpose') }} as is_allowed
    from purposes
    where {{ json_text_at('consent', 'purpose') }} is not null
),

by_identifier as (
    select
        stated.*,
        row_number() over (
            partition by stated.customer_id, event_identifiers.identifier_id, stated.purpose order by stated.occurred_at desc, stated.landed_seq desc
        ) as newest
    from stated
    inner join {{ ref('event_identifiers') }} as event_identifiers on stated.landed_seq = event_identifiers.landed_seq
),

standing as (
    select
        customer_id,
        purpose,
        landed_seq,
        bool_and(is_allowed) as is_allowed
    from by_identifier
    group by customer_id, purpose, landed_seq
    having max(newest) = 1
),

consents as (
    select
        customer_id,
        purpose,
        bool_and(is_allowed) as is_allowed
    from standing
    group by customer_id, purpose
)

select * from consents
