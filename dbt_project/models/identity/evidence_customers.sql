-- One row per evidence set that is somebody's, and per period where it is that of a shared identifier: whose events they are now.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='evidence_id', on_schema_change='fail') }}

with this_run as (
    select as_of from {{ source('control', 'current_run') }}
),

owners as (
    {{ evidence_owners('this_run', and_touched('evidence_id', 'evidence.evidence_id')) }}
)

select
    evidence_id,
    customer_id,
    valid_from,
    valid_to
from owners
