-- One row per customer: the identifiers it is reached by, newest of each type, and how many it has.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with memberships as (
    select * from {{ source('engine', 'memberships') }} as memberships
    where memberships.known_to is null {{ and_touched('customer_id', 'memberships.customer_id') }}
),

-- a shared identifier counts for everybody whom it was used by, once
held as (
    select
        customer_id,
        identifier_id
    from memberships
    where valid_from is null
    union all
    select distinct
        customer_id,
        identifier_id
    from memberships
    where valid_from is not null
),

identifiers as (
    select
        held.customer_id,
        identifiers.identifier_type,
        identifiers.identifier_value,
        identifiers.last_seen_at
    from held
    inner join {{ ref('identifiers') }} as identifiers on held.identifier_id = identifiers.identifier_id
),

identifier_types as (
    select * from {{ source('control', 'identifier_types') }}
),

ranked as (
    select
        identifiers.*,
        coalesce(identifier_types.is_strong, false) as is_strong,
        row_number() over (
            partition by identifiers.customer_id, identifiers.identifier_type
            order by identifiers.last_seen_at desc, identifiers.identifier_value
        ) as newest
    from identifiers
    left join identifier_types on identifiers.identifier_type = identifier_types.identifier_type
),

contacts as (
    select
        customer_id,
        max(case when identifier_type = 'user_id' and newest = 1 then identifier_value end) as user_id,
        max(case when identifier_type = 'email' and newest = 1 then identifier_value end) as email,
        max(case when identifier_type = 'phone' and newest = 1 then identifier_value end) as phone,
        max(case when identifier_type = 'loyalty_id' and newest = 1 then identifier_value end) as loyalty_id,
        count(case when identifier_type = 'email' then 1 end) as email_count,
        count(case when identifier_type = 'phone' then 1 end) as phone_count,
        count(case when identifier_type = 'device_id' then 1 end) as device_count,
        count(case when identifier_type = 'anonymous_id' then 1 end) as cookie_count,
        count(*) as identifier_count,
        count(case when is_strong then 1 end) as strong_identifier_count,
        count(distinct case when is_strong then identifier_type end) as strong_type_count
    from ranked
    group by customer_id
)

select * from contacts
