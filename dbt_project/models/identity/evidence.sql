-- One row per distinct set of identifiers that an event known to this run carries, at its earliest key. What the engine decides on, with the keys that a set
-- had at earlier dates, before an earlier event of it became known (superseded_keys).
{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key='evidence_id', on_schema_change='fail',
    pre_hook="{{ delete_touched() }}"
) }}

with event_evidence as (
    select * from {{ ref('event_evidence') }}
    where
        known_at < {{ as_of() }}
        {% if is_incremental() %}
        and evidence_id in (
            select touched.evidence_id from {{ ref('event_evidence') }} as touched
            where {{ is_new_event() }}
        )
        {% endif %}
),

engine_state as (
    select coalesce(max(decided_seq), 0) + 1 as next_seq from {{ source('engine', 'engine_state') }}
),

ranked as (
    select
        *,
        row_number() over (partition by evidence_id order by ordered_at, source, message_id) as key_rank
    from event_evidence
),

sets as (
    select
        evidence_id,
        min(ordered_at) as first_at,
        max(case when key_rank = 1 then source end) as first_source,
        max(case when key_rank = 1 then message_id end) as first_message_id,
        max(case when key_rank = 1 then known_at end) as key_known_at,
        min(known_at) as first_known_at,
        max(occurred_at) as last_occurred_at,
        count(*) as event_count
        {%- if is_incremental() %},
        min(case when {{ is_new_event() }} then known_at end) as news_known_at
        {%- endif %}
    from ranked
    group by evidence_id
),

marked as (
    select
        sets.evidence_id,
        sets.first_at,
        sets.first_source,
        sets.first_message_id,
        sets.key_known_at,
        sets.first_known_at,
        sets.last_occurred_at,
        sets.event_count,
        {% if is_incremental() %}
        -- another event with a set that was known before is no news to the engine, unless a date before may go by it
        case
            when sets.news_known_at < sets.key_known_at then engine_state.next_seq
            else coalesce(before.changed_seq, engine_state.next_seq)
        end as changed_seq
        {% else %}
        engine_state.next_seq as changed_seq
        {% endif %}
    from sets
    cross join engine_state
    {% if is_incremental() %}
    left join {{ this }} as before
        on
            sets.evidence_id = before.evidence_id
            and sets.first_at = before.first_at
            and sets.first_source = before.first_source
            and sets.first_message_id = before.first_message_id
            and sets.key_known_at = before.key_known_at
            and sets.first_known_at = before.first_known_at
    {% endif %}
)

select * from marked
