-- One row per customer: the identifiers it is reached by, newest of each type, and how many it has.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with nodes as (
    select * from {{ ref('nodes') }} as nodes
    where nodes.customer_id is not null {{ and_touched('customer_id', 'nodes.customer_id') }}
),

identifier_types as (
    select * from {{ source('control', 'identifier_types') }}
),

ranked as (
    select
        nodes.*,
        coalesce(identifier_types.is_strong, false) as is_strong,
        row_number() over (
            partition by nodes.customer_id, nodes.identifier_type order by nodes.last_seen_at desc, nodes.identifier_value
        ) as newest
    from nodes
    left join identifier_types on nodes.identifier_type = identifier_types.identifier_type
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
