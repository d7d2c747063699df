-- One row per (evidence set, as_of_date) that was somebody's then, and per period where it is that of a shared identifier: a later login does not reach back.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key=['evidence_id', 'as_of_date'], on_schema_change='fail') }}

with feature_dates as (
    select * from {{ source('control', 'feature_dates') }}
),

owners as (
    {{ evidence_owners('feature_dates', and_redone_at_date('evidence_id', 'evidence_identifiers', 'dates')) }}
),

known_evidence as (
    select
        owners.evidence_id,
        feature_dates.as_of_date,
        owners.as_of,
        owners.customer_id,
        owners.valid_from,
        owners.valid_to
    from owners
    inner join feature_dates on owners.as_of = feature_dates.as_of
)

select * from known_evidence
