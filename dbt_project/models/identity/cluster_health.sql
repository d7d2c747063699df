-- One row per customer: how big its cluster of identifiers is, how dense, and how many of its edges may hold it together alone.
-- A bridge (an edge without which the cluster falls apart) is found exactly by a walk through the graph, not by one query. So two bounds stand here: an edge
-- to an identifier that has no other is surely one (leaf), an edge whose ends share no neighbour may be one (local bridge); no other edge is.
with members as (
    select distinct
        customer_id,
        identifier_id
    from {{ ref('nodes') }}
    where customer_id is not null
),

joined_edges as (
    select distinct
        one.customer_id,
        edges.identifier_id_a,
        edges.identifier_id_b,
        edges.event_count
    from {{ ref('edges') }} as edges
    inner join members as one on edges.identifier_id_a = one.identifier_id
    inner join members as other on edges.identifier_id_b = other.identifier_id and one.customer_id = other.customer_id
),

both_ways as (
    select
        customer_id,
        identifier_id_a as from_id,
        identifier_id_b as to_id
    from joined_edges
    union all
    select
        customer_id,
        identifier_id_b as from_id,
        identifier_id_a as to_id
    from joined_edges
),

degrees as (
    select
        customer_id,
        from_id as identifier_id,
        count(*) as degree
    from both_ways
    group by customer_id, from_id
),

-- the neighbours of the end that has fewer are looked through: a hub's own would be many
with_degrees as (
    select
        joined_edges.customer_id,
        joined_edges.event_count,
        least(one.degree, other.degree) as smaller_degree,
        case when one.degree <= other.degree then one.identifier_id else other.identifier_id end as from_id,
        case when one.degree <= other.degree then other.identifier_id else one.identifier_id end as to_id
    from joined_edges
    inner join degrees as one on joined_edges.customer_id = one.customer_id and joined_edges.identifier_id_a = one.identifier_id
    inner join degrees as other on joined_edges.customer_id = other.customer_id and joined_edges.identifier_id_b = other.identifier_id
),

in_triangle as (
    select distinct
        with_degrees.customer_id,
        with_degrees.from_id,
        with_degrees.to_id
    from with_degrees
    inner join both_ways as third on with_degrees.customer_id = third.customer_id and with_degrees.from_id = third.from_id
    inner join both_ways as back
        on third.customer_id = back.customer_id and third.to_id = back.from_id and with_degrees.to_id = back.to_id
    where with_degrees.smaller_degree > 1
),

judged as (
    select
        with_degrees.customer_id,
        with_degrees.event_count,
        with_degrees.smaller_degree = 1 as is_leaf,
        in_triangle.customer_id is null as is_local_bridge
    from with_degrees
    left join in_triangle
        on
            with_degrees.customer_id = in_triangle.customer_id
            and with_degrees.from_id = in_triangle.from_id
            and with_degrees.to_id = in_triangle.to_id
),

edge_counts as (
    select
        customer_id,
        count(*) as edge_count,
        count(case when is_leaf then 1 end) as leaf_edge_count,
        count(case when is_local_bridge then 1 end) as local_bridge_count,
        count(case when is_local_bridge and event_count = 1 then 1 end) as once_seen_local_bridge_count
    from judged
    group by customer_id
),

sizes as (
    select
        customer_id,
        count(*) as identifier_count
    from members
    group by customer_id
),

cluster_health as (
    select
        sizes.customer_id,
        sizes.identifier_count,
        coalesce(edge_counts.edge_count, 0) as edge_count,
        cast(2.0 * coalesce(edge_counts.edge_count, 0) / nullif(sizes.identifier_count * (sizes.identifier_count - 1), 0) as decimal(9, 6)) as density,
        coalesce(edge_counts.leaf_edge_count, 0) as leaf_edge_count,
        coalesce(edge_counts.local_bridge_count, 0) as local_bridge_count,
        coalesce(edge_counts.once_seen_local_bridge_count, 0) as once_seen_local_bridge_count
    from sizes
    left join edge_counts on sizes.customer_id = edge_counts.customer_id
)

select * from cluster_health
