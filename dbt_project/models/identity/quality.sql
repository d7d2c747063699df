-- One row, only where the simulator's truth is at hand: pairwise precision and recall over identifiers with one true owner. One that is nobody's (hot, blocked)
-- stands alone: leaving it out would hide the pairs that it should have been in.
with truth as (
    select
        identifier_type,
        identifier_value,
        min(person_id) as person_id
    from {{ source('truth', 'identifiers') }}
    group by identifier_type, identifier_value
    having count(distinct person_id) = 1
),

judged as (
    select
        coalesce(nodes.customer_id, nodes.identifier_id) as customer_id,
        truth.person_id
    from {{ ref('nodes') }} as nodes
    inner join truth
        on nodes.identifier_type = truth.identifier_type and nodes.identifier_value = truth.identifier_value
),

cells as (
    select
        customer_id,
        person_id,
        cast(count(*) as float8) as size
    from judged
    group by customer_id, person_id
),

predicted as (
    select sum(members * (members - 1) / 2) as pairs
    from (
        select sum(size) as members
        from cells
        group by customer_id
    ) as customers
),

actual as (
    select sum(members * (members - 1) / 2) as pairs
    from (
        select sum(size) as members
        from cells
        group by person_id
    ) as people
),

hits as (
    select sum(size * (size - 1) / 2) as pairs from cells
),

quality as (
    select
        cast(predicted.pairs as bigint) as predicted_pairs,
        cast(actual.pairs as bigint) as true_pairs,
        cast(hits.pairs as bigint) as hit_pairs,
        hits.pairs / nullif(predicted.pairs, 0) as pairwise_precision,
        hits.pairs / nullif(actual.pairs, 0) as pairwise_recall
    from predicted
    cross join actual
    cross join hits
    where actual.pairs is not null
)

select * from quality
