-- One row per identifier of the stitched graph: whose it is now, or why it is no one customer's.
{{ config(materialized='view') }}

with identifiers as (
    select * from {{ ref('identifiers') }}
),

memberships as (
    select * from {{ source('engine', 'memberships') }}
    where known_to is null and valid_from is null
),

shared_identifiers as (
    select distinct identifier_id from {{ source('engine', 'memberships') }}
    where known_to is null and valid_from is not null
),

hot_identifiers as (
    select distinct identifier_id from {{ source('engine', 'hot_identifiers') }}
),

nodes as (
    select
        identifiers.identifier_id,
        memberships.customer_id,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.first_seen_at,
        identifiers.last_seen_at,
        identifiers.event_count,
        case
            when memberships.customer_id is not null then 'member'
            when shared_identifiers.identifier_id is not null then 'shared'
            when hot_identifiers.identifier_id is not null then 'hot'
            else 'blocked'
        end as standing
    from identifiers
    left join memberships on identifiers.identifier_id = memberships.identifier_id
    left join shared_identifiers on identifiers.identifier_id = shared_identifiers.identifier_id
    left join hot_identifiers on identifiers.identifier_id = hot_identifiers.identifier_id
)

select * from nodes
