-- One row per landed event, typed once. Append only like raw.events, so that JSON is parsed once in an event's life; the run clock is applied downstream.
{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='fail') }}

with raw_events as (
    select *
    from {{ source('raw', 'events') }}
    {% if is_incremental() %}
    where landed_seq > (select coalesce(max(landed.landed_seq), -1) from {{ this }} as landed)
    {% endif %}
),

typed as (
    select
        ---------- ids
        landed_seq,
        source,
        message_id,
        user_id,
        anonymous_id,
        identifiers,

        ---------- what happened
        type,
        case when type = 'track' then event else type end as event,
        occurred_at,
        known_at,

        ---------- where
        coalesce({{ json_text('context', 'channel') }}, 'web') as channel,
        {{ json_text('context', 'device.type') }} as device_type,
        {{ json_text('context', 'location.country') }} as country,
        {{ json_text('context', 'location.region') }} as region,
        {{ json_text('context', 'location.city') }} as city,
        {{ json_text('context', 'campaign.source') }} as campaign_source,
        {{ json_text('context', 'campaign.medium') }} as campaign_medium,
        {{ json_text('context', 'campaign.name') }} as campaign_name,

        ---------- with which product
        {{ json_text('properties', 'product_id') }} as product_id,
        {{ json_text('properties', 'category') }} as category,

        ---------- for which money
        {{ json_text('properties', 'order_id') }} as order_id,
        {{ json_text('properties', 'refund_id') }} as refund_id,
        coalesce({{ json_text('properties', 'partial') }} = 'true', false) as is_partial,
        nullif(upper(trim({{ json_text('properties', 'currency') }})), '') as currency,
        {{ amount_or_null(json_text('properties', 'revenue')) }} as revenue,
        {{ amount_or_null(json_text('properties', 'discount')) }} as discount,
        {{ amount_or_null(json_text('properties', 'tax')) }} as tax,
        {{ amount_or_null(json_text('properties', 'shipping')) }} as shipping,
        {{ amount_or_null(json_text('properties', 'total')) }} as total,
        {{ json_value('properties', 'products') }} as products,

        ---------- what it says about the person
        traits,
        consent
    from raw_events
)

select * from typed
