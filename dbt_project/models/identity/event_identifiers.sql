-- One row per event and identifier it carries, normalised. Append only, like the events.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail') }}

with events as (
    select * from {{ ref('stg_events') }}
    {% if is_incremental() %}
    where landed_seq > (select coalesce(max(landed.landed_seq), -1) from {{ this }} as landed)
    {% endif %}
),

listed as (
    select
        landed_seq,
        {{ json_elements('identifiers') }} as identifier
    from events
    where identifiers is not null
),

given as (
    select landed_seq, 'user_id' as identifier_type, user_id as given_value from events where user_id is not null
    union all
    select landed_seq, 'anonymous_id' as identifier_type, anonymous_id as given_value from events where anonymous_id is not null
    union all
    select
        landed_seq,
        {{ json_text('identifier', 'type') }} as identifier_type,
        {{ json_text('identifier', 'value') }} as given_value
    from listed
),

-- a value is given by many events: it is normalised once
distinct_given as (
    select distinct
        identifier_type,
        given_value
    from given
),

normalised as (
    {{ normalised_identifiers('distinct_given') }}
),

named as materialized (
    select
        identifier_type,
        given_value,
        {{ identifier_id('identifier_type', 'identifier_value') }} as identifier_id,
        identifier_value
    from normalised
    where identifier_value is not null
),

identified as (
    select distinct
        given.landed_seq,
        named.identifier_id,
        named.identifier_type,
        named.identifier_value
    from given
    inner join named on given.identifier_type = named.identifier_type and given.given_value = named.given_value
)

select * from identified
