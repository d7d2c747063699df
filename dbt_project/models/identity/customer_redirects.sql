-- One row per customer id ever given out whose anchor is somebody's: the living customer who holds it now (itself, or the one it was merged into).
-- A shared anchor is held by several customers: it leads to the id itself, where that is one of them (the anchor's own anonymous customer), else nowhere.
with ledger as (
    select * from {{ source('engine', 'customer_ids') }}
),

memberships as (
    select * from {{ source('engine', 'memberships') }}
    where known_to is null
),

held as (
    select
        ledger.customer_id,
        memberships.customer_id as living_customer_id,
        row_number() over (
            partition by ledger.customer_id
            -- a strong anchor outranks the weak one it was gained after
            order by ledger.is_strong desc, ledger.ledger_seq
        ) as anchor_rank
    from ledger
    inner join memberships
        on
            ledger.identifier_id = memberships.identifier_id
            and (memberships.valid_from is null or memberships.customer_id = ledger.customer_id)
),

redirects as (
    select
        customer_id,
        living_customer_id
    from held
    where anchor_rank = 1
)

select * from redirects
