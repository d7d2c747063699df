-- One row per (customer, as_of_date, channel) of customers with an order known by then: on how many days of the last year they used the channel themselves.
-- Events are first brought to days of an evidence set, each with the instant it was known from: so dates meet days, not events.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key=['customer_id', 'as_of_date'], on_schema_change='fail') }}

with buyers as (
    select
        order_features.customer_id,
        order_features.as_of_date
    from {{ ref('order_features') }} as order_features
    where true {{ and_redone_at_date('customer_id', 'order_features') }}
),

buyer_evidence as (
    select known_evidence.*
    from {{ ref('known_evidence') }} as known_evidence
    inner join buyers on known_evidence.customer_id = buyers.customer_id and known_evidence.as_of_date = buyers.as_of_date
),

evidence_sets as (
    select
        evidence_id,
        max(case when valid_from is null then 0 else 1 end) as is_shared
    from buyer_evidence
    group by evidence_id
),

acts as (
    select
        event_evidence.evidence_id,
        {{ used_channel('events.event', 'events.channel') }} as channel,
        cast(events.occurred_at as date) as used_on,
        events.event = 'Order Completed' as is_order,
        -- a shared one has an owner per period: its acts stay apart
        case when evidence_sets.is_shared = 1 then event_evidence.ordered_at end as ordered_at,
        case when events.known_at > events.occurred_at then events.known_at else events.occurred_at end as known_at
    from {{ ref('stg_events') }} as events
    inner join {{ ref('event_evidence') }} as event_evidence on events.landed_seq = event_evidence.landed_seq
    inner join evidence_sets on event_evidence.evidence_id = evidence_sets.evidence_id
    where {{ is_own_act('events.event') }} and {{ is_use_of_channel('events.event') }}
),

days as (
    select
        evidence_id,
        channel,
        used_on,
        ordered_at,
        min(known_at) as known_at,
        min(case when is_order then known_at end) as order_known_at
    from acts
    group by evidence_id, channel, used_on, ordered_at
),

known_days as (
    select
        buyer_evidence.customer_id,
        buyer_evidence.as_of_date,
        days.channel,
        days.used_on,
        max(case when days.order_known_at < buyer_evidence.as_of then 1 else 0 end) as has_order
    from days
    inner join buyer_evidence
        on
            days.evidence_id = buyer_evidence.evidence_id
            and {{ is_owner_at('buyer_evidence', 'days.ordered_at') }}
            and days.known_at < buyer_evidence.as_of
            and days.used_on >= {{ minus_days('buyer_evidence.as_of_date', 365) }}
    group by buyer_evidence.customer_id, buyer_evidence.as_of_date, days.channel, days.used_on
),

channel_features as (
    select
        customer_id,
        as_of_date,
        channel,
        {{ count_within('used_on', 'as_of_date', 30) }} as active_day_count_30d,
        {{ count_within('used_on', 'as_of_date', 90) }} as active_day_count_90d,
        count(*) as active_day_count_365d,
        cast(sum(has_order) as bigint) as order_day_count_365d,
        cast({{ days_between('cast(max(used_on) as timestamp)', 'cast(as_of_date as timestamp)') }} as float8) as days_since_last
    from known_days
    group by customer_id, as_of_date, channel
)

select * from channel_features
