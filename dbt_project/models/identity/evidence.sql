-- One row per distinct set of identifiers that an event known to this run carries, at its earliest key. What the engine decides on.
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
        min(known_at) as first_known_at,
        max(occurred_at) as last_occurred_at,
        count(*) as event_count
    from ranked
    group by evidence_id
),

marked as (
    select
        sets.*,
        {% if is_incremental() %}
        -- another event with a set that was known before is no news to the engine
        coalesce(before.changed_seq, engine_state.next_seq) as changed_seq
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
            and sets.first_known_at = before.first_known_at
    {% endif %}
)

select * from marked
