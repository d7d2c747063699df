-- One row per way of stitching, only where a truth is at hand: how well it puts together identifiers with one true owner. Weft's own and three baselines.
{% set methods = ['weft', 'last_login_wins', 'one_hop', 'components'] %}
with judged as (
    select * from {{ source('judged', 'judged_identifiers') }}
),

-- identifiers of one part of one person that the method has in one customer
cells as (
    {% for method in methods %}
    select
        '{{ method }}' as method,
        {{ method }} as cluster,
        person_id,
        reachable,
        count(*) as size
    from judged
    group by {{ method }}, person_id, reachable
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

clusters as (
    select
        method,
        cluster,
        cast(sum(size) as bigint) as size,
        count(distinct person_id) as people
    from cells
    group by method, cluster
),

people as (
    select
        method,
        person_id,
        cast(sum(size) as bigint) as size,
        count(distinct reachable) as parts,
        count(distinct cluster) as clusters
    from cells
    group by method, person_id
),

reachable_parts as (
    select
        method,
        reachable,
        cast(sum(size) as bigint) as size
    from cells
    group by method, reachable
),

shared_by_both as (
    select
        method,
        cluster,
        person_id,
        cast(sum(size) as bigint) as size
    from cells
    group by method, cluster, person_id
),

of_clusters as (
    select
        method,
        cast(sum(size) as bigint) as identifiers,
        cast(sum(size * (size - 1) / 2) as bigint) as pairs
    from clusters
    group by method
),

of_people as (
    select
        method,
        cast(sum(size * (size - 1) / 2) as bigint) as pairs,
        sum(case when parts = 1 and size > 1 then 1 else 0 end) as connected_count
    from people
    group by method
),

of_reachable_parts as (
    select
        method,
        cast(sum(size * (size - 1) / 2) as bigint) as pairs
    from reachable_parts
    group by method
),

hits as (
    select
        shared_by_both.method,
        cast(sum(shared_by_both.size * (shared_by_both.size - 1) / 2) as bigint) as pairs,
        -- the share of an identifier's cluster that is its owner's, summed over identifiers
        sum(cast(shared_by_both.size * shared_by_both.size as float8) / clusters.size) as precision_sum,
        sum(case when people.parts = 1 and people.size > 1 and people.clusters = 1 and clusters.people = 1 then 1 else 0 end) as exact_count
    from shared_by_both
    inner join clusters on shared_by_both.method = clusters.method and shared_by_both.cluster = clusters.cluster
    inner join people on shared_by_both.method = people.method and shared_by_both.person_id = people.person_id
    group by shared_by_both.method
),

reached as (
    select
        cells.method,
        cast(sum(cells.size * (cells.size - 1) / 2) as bigint) as pairs,
        -- the share of what noise-free evidence connects with an identifier that is in its cluster, summed over identifiers
        sum(cast(cells.size * cells.size as float8) / reachable_parts.size) as recall_sum
    from cells
    inner join reachable_parts on cells.method = reachable_parts.method and cells.reachable = reachable_parts.reachable
    group by cells.method
),

measured as (
    select
        of_clusters.method,
        of_clusters.identifiers as identifier_count,
        of_clusters.pairs as predicted_pairs,
        hits.pairs as hit_pairs,
        of_people.pairs as true_pairs,
        of_reachable_parts.pairs as reachable_pairs,
        reached.pairs as reached_pairs,
        cast(of_people.connected_count as bigint) as connected_customer_count,
        cast(hits.exact_count as bigint) as exact_customer_count,
        cast(hits.pairs as float8) / nullif(of_clusters.pairs, 0) as pairwise_precision,
        cast(reached.pairs as float8) / nullif(of_reachable_parts.pairs, 0) as pairwise_recall,
        hits.precision_sum / of_clusters.identifiers as bcubed_precision,
        reached.recall_sum / of_clusters.identifiers as bcubed_recall
    from of_clusters
    inner join of_people on of_clusters.method = of_people.method
    inner join of_reachable_parts on of_clusters.method = of_reachable_parts.method
    inner join hits on of_clusters.method = hits.method
    inner join reached on of_clusters.method = reached.method
),

quality as (
    select
        method,
        identifier_count,
        predicted_pairs,
        hit_pairs,
        true_pairs,
        reachable_pairs,
        reached_pairs,
        true_pairs - reachable_pairs as unreachable_pairs,
        connected_customer_count,
        exact_customer_count,
        pairwise_precision,
        pairwise_recall,
        {{ harmonic_mean('pairwise_precision', 'pairwise_recall') }} as pairwise_f1,
        bcubed_precision,
        bcubed_recall,
        {{ harmonic_mean('bcubed_precision', 'bcubed_recall') }} as bcubed_f1,
        cast(exact_customer_count as float8) / nullif(connected_customer_count, 0) as exact_share
    from measured
)

select * from quality
