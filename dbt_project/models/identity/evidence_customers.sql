-- One row per evidence set that is somebody's: whose events they are now.
{{ config(
    materialized='incremental', incremental_strategy='append', on_schema_change='fail',
    pre_hook="{{ delete_touched('evidence_id', touched_evidence()) }}"
) }}

with this_run as (
    select as_of from {{ source('control', 'current_run') }}
),

{% if is_incremental() %}
touched as (
    {{ touched_evidence() }}
),

{% endif %}
owners as (
    {{ evidence_owners('this_run', of_evidence='touched' if is_incremental() else none) }}
)

select
    evidence_id,
    customer_id
from owners
