-- One row per evidence set that is somebody's: whose events they are now.
with this_run as (
    select as_of from {{ source('control', 'current_run') }}
),

owners as (
    {{ evidence_owners('this_run') }}
)

select
    evidence_id,
    customer_id
from owners
