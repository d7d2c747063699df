-- One row per evidence set and key that was its earliest as far as known, until an event with an earlier one became known (superseded_at): what a date before
-- that goes by. Most sets have none: their events become known in the order in which they happened.
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook=["{{ delete_touched() }}", "{{ delete_sets_with_news() }}"]
) }}

with late_sets as (
    select evidence_id from {{ ref('evidence') }}
    where
        key_known_at > first_known_at
        {% if is_incremental() %}
        and evidence_id in (
            select touched.evidence_id from {{ ref('event_evidence') }} as touched
            where {{ is_new_event() }}
        )
        {% endif %}
),

ranked as (
    select
        *,
        row_number() over (partition by evidence_id order by ordered_at, source, message_id) as key_rank
    from {{ ref('event_evidence') }}
    where known_at < {{ as_of() }} and evidence_id in (select late_sets.evidence_id from late_sets)
),

known as (
    select
        *,
        min(key_rank) over (partition by evidence_id order by known_at, key_rank rows between unbounded preceding and 1 preceding) as earliest_before
    from ranked
),

records as (
    select
        *,
        lead(known_at) over (partition by evidence_id order by known_at) as superseded_at
    from known
    where earliest_before is null or key_rank < earliest_before
),

superseded_keys as (
    select
        evidence_id,
        ordered_at as first_at,
        source as first_source,
        message_id as first_message_id,
        known_at as first_known_at,
        superseded_at
    from records
    where superseded_at is not null
)

select * from superseded_keys
