-- One row per customer and trait: the value that survives by the trait's rule (variable trait_rules), and the event that said it.
-- A trait is a key of an event's traits; what is empty says nothing. An object (an address) is one value.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with events as (
    select
        event_customers.customer_id,
        stg_events.landed_seq,
        stg_events.source,
        stg_events.message_id,
        stg_events.occurred_at,
        stg_events.traits
    from {{ ref('stg_events') }} as stg_events
    inner join {{ ref('event_customers') }} as event_customers on stg_events.landed_seq = event_customers.landed_seq
    -- most events carry an empty object; null is not unequal to it either
    where cast(stg_events.traits as varchar) <> '{}' {{ and_touched('customer_id', 'event_customers.customer_id') }}
),

keys as (
    select
        *,
        {{ json_object_keys('traits') }} as trait
    from events
),

told as (
    select
        customer_id,
        landed_seq,
        source,
        message_id,
        occurred_at,
        trait,
        {{ json_text_at('traits', 'trait') }} as trait_value,
        {{ trait_rule() }} as rule
    from keys
),

ranked as (
    select
        *,
        row_number() over (partition by customer_id, trait order by {{ survival_order() }}) as place
    from told
    where trim(trait_value) <> ''
),

variety as (
    select
        customer_id,
        trait,
        count(distinct trait_value) as distinct_value_count
    from ranked
    group by customer_id, trait
),

survivors as (
    select
        ranked.customer_id,
        ranked.trait,
        ranked.trait_value,
        ranked.rule,
        variety.distinct_value_count,
        ranked.landed_seq,
        ranked.source,
        ranked.message_id,
        ranked.occurred_at
    from ranked
    inner join variety on ranked.customer_id = variety.customer_id and ranked.trait = variety.trait
    where ranked.place = 1
)

select * from survivors
