-- One row per customer id ever given out: the living customer who holds its anchor now (itself, or the one it was merged into).
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
    inner join memberships on ledger.identifier_id = memberships.identifier_id
),

redirects as (
    select
        customer_id,
        living_customer_id
    from held
    where anchor_rank = 1
)

select * from redirects
