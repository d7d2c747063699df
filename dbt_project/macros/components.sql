{# Connected components in SQL alone, for whoever has no Python step beside the warehouse: a materialization. The model selects pairs, columns a and b
   (texts; a pair of one with itself names one that may be alone, a pair with a null says nothing); the table that is built says who is connected:

       {{ config(materialized='components') }}
       select identifier_id_a as a, identifier_id_b as b from {{ ref('edges') }} where has_joined

   identifier | component      component: the least 64-bit hash in the component, so it depends on the members and on nothing else, neither their order nor
                               the run. Hashes differ between warehouses, and so do these numbers; which identifiers share one does not.

   How: texts become their hashes, checked to be different for different texts (else all are hashed anew). A round points every node at the least of its
   neighbours and itself, jumps to where that one points, and contracts: what lies within one star is done. Hashes are a random order, and it stays the same
   in all rounds: the node that won a neighbourhood is likely to win the next, which took 6 rounds where an order of its own in each took 16 (10 M pairs,
   bench/pairs.py). The pointers of all rounds, one after the other, are the answer. Cost: linear in what is left per round, which falls by a factor of 3 on
   a path and of 20 and more where there are hubs; no recursion, and nothing quadratic at a hub.

   The query runs twice: where it is expensive, let it select from a table. #}
{% materialization components, default %}
    {%- set target = this.incorporate(type='table') -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- set scratch = scratch_prefix(target) -%}
    {%- set seed = hash_nodes(scratch, sql) -%}
    {%- set rounds = contract_pairs(scratch, sql, seed) -%}
    {%- set should_revoke = should_revoke(load_cached_relation(this), full_refresh_mode=True) -%}
    {% do build_table(target, components_query(scratch, rounds)) %}
    {% do drop_scratch(scratch ~ 'nodes') %}
    {% for round in range(rounds) %}{% do drop_scratch(scratch ~ 'pointers_' ~ round) %}{% endfor %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do apply_grants(target, config.get('grants'), should_revoke=should_revoke) %}
    {% do persist_docs(target, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target]}) }}
{% endmaterialization %}

{# Write the table of nodes (node, identifier) and return the seed under which no two texts have the same hash. #}
{% macro hash_nodes(scratch, pairs) %}
    {%- set found = namespace(seed=none) -%}
    {%- for seed in range(8) if found.seed is none -%}
        {% do write_scratch(scratch ~ 'nodes',
            "select " ~ hash64('identifier', seed) ~ " as node, identifier from ("
            ~ "select a as identifier from (" ~ pairs ~ ") as one where b is not null and a is not null "
            ~ "union select b from (" ~ pairs ~ ") as other where a is not null and b is not null) as identifiers"
        ) %}
        {%- set clash = run_query("select node from " ~ scratch ~ "nodes group by node having count(*) > 1 limit 1") -%}
        {%- if not clash.rows -%}{%- set found.seed = seed -%}{%- endif -%}
    {%- endfor -%}
    {%- if found.seed is none -%}
        {{ exceptions.raise_compiler_error("components: two identifiers have the same 64-bit hash under 8 seeds; that is no accident.") }}
    {%- endif -%}
    {{ return(found.seed) }}
{% endmacro %}

{# Write the tables of pointers (node, root), one per round, and return how many: pointers_0 has every node with a neighbour, each next one the nodes that are left. #}
{% macro contract_pairs(scratch, pairs, seed) %}
    {%- set left = namespace(rounds=0, any=false) -%}
    {% do write_scratch(scratch ~ 'pairs_0',
        "select " ~ hash64('a', seed) ~ " as a, " ~ hash64('b', seed) ~ " as b from (" ~ pairs ~ ") as pairs where a <> b"
    ) %}
    {%- set left.any = has_rows(scratch ~ 'pairs_0') -%}
    {%- for round in range(1000) if left.any -%}
        {%- set edges, pointers, next = scratch ~ 'pairs_' ~ round, scratch ~ 'pointers_' ~ round, scratch ~ 'pairs_' ~ (round + 1) -%}
        {% do write_scratch(pointers,
            "with nearest as (select node, least(node, min(neighbour)) as root from ("
            ~ "select a as node, b as neighbour from " ~ edges ~ " union all select b, a from " ~ edges ~ ") as both_ways group by node) "
            ~ "select nearest.node, beyond.root from nearest inner join nearest as beyond on nearest.root = beyond.node"
        ) %}
        {% do write_scratch(next,
            "select distinct least(one.root, other.root) as a, greatest(one.root, other.root) as b from " ~ edges ~ " as edges "
            ~ "inner join " ~ pointers ~ " as one on edges.a = one.node inner join " ~ pointers ~ " as other on edges.b = other.node "
            ~ "where one.root <> other.root"
        ) %}
        {% do drop_scratch(edges) %}
        {%- set left.any = has_rows(next) -%}
        {%- set left.rounds = round + 1 -%}
    {%- endfor -%}
    {% do drop_scratch(scratch ~ 'pairs_' ~ left.rounds) %}
    {{ return(left.rounds) }}
{% endmacro %}

{# Follow the pointers of all rounds: where a round has no pointer for a node, the node was a root for good. #}
{% macro components_query(scratch, rounds) -%}
    {%- if not rounds -%}
    select identifier, node as component from {{ scratch }}nodes
    {%- else -%}
    {%- set roots = ['pointers_0.root'] -%}
    select nodes.identifier, coalesce(labels.component, nodes.node) as component
    from {{ scratch }}nodes as nodes
    left join (
        select pointers_0.node, coalesce(
            {%- for round in range(rounds - 1, -1, -1) %}pointers_{{ round }}.root{{ ', ' if round }}{% endfor %}) as component
        from {{ scratch }}pointers_0 as pointers_0
        {%- for round in range(1, rounds) %}
        left join {{ scratch }}pointers_{{ round }} as pointers_{{ round }}
            on pointers_{{ round }}.node = coalesce({{ roots | reverse | join(', ') }})
        {%- do roots.append('pointers_' ~ round ~ '.root') %}
        {%- endfor %}
    ) as labels on nodes.node = labels.node
    {%- endif -%}
{%- endmacro %}

{% macro has_rows(table) %}{{ return(run_query("select 1 as one from " ~ table ~ " limit 1").rows | length > 0) }}{% endmacro %}

{# Tables of this session; Spark has none, and gets tables of the target's schema, which are dropped at the end or by the next run. #}
{% macro scratch_prefix(target) -%}{{ return(adapter.dispatch('scratch_prefix')(target)) }}{%- endmacro %}
{% macro default__scratch_prefix(target) -%}{{ return('components_' ~ local_md5(target | string)[:10] ~ '_') }}{%- endmacro %}
{% macro spark__scratch_prefix(target) -%}
    {{ return(target.schema ~ '.components_' ~ local_md5(target | string)[:10] ~ '_') }}
{%- endmacro %}

{% macro write_scratch(table, query) %}
    {% do drop_scratch(table) %}
    {% call statement() %}{{ create_scratch(table, query) }}{% endcall %}
    {% do adapter.dispatch('after_scratch')(table) %}
{% endmacro %}

{% macro create_scratch(table, query) -%}{{ return(adapter.dispatch('create_scratch')(table, query)) }}{%- endmacro %}
{% macro default__create_scratch(table, query) -%}{{ return('create temporary table ' ~ table ~ ' as ' ~ query) }}{%- endmacro %}
{% macro spark__create_scratch(table, query) -%}{{ return('create table ' ~ table ~ ' using parquet as ' ~ query) }}{%- endmacro %}

{# PostgreSQL's planner knows nothing of a table that was written a moment ago. #}
{% macro default__after_scratch(table) %}{% endmacro %}
{% macro postgres__after_scratch(table) %}{% call statement() %}analyze {{ table }}{% endcall %}{% endmacro %}

{% macro drop_scratch(table) %}{% call statement() %}drop table if exists {{ table }}{% endcall %}{% endmacro %}

{# A bigint that is as good as random, different for another seed. #}
{% macro hash64(text, seed) -%}{{ return(adapter.dispatch('hash64')(text, seed)) }}{%- endmacro %}
{% macro default__hash64(text, seed) -%}{{ return('cast(hash(' ~ text ~ ', ' ~ seed ~ ') >> 1 as bigint)') }}{%- endmacro %}
{% macro postgres__hash64(text, seed) -%}{{ return('hashtextextended(' ~ text ~ ', ' ~ seed ~ ')') }}{%- endmacro %}
{% macro spark__hash64(text, seed) -%}{{ return('xxhash64(' ~ text ~ ', ' ~ seed ~ ')') }}{%- endmacro %}

{# Replace the target by the rows of a query: readers see the old table or the new one, where the warehouse can do that. #}
{% macro build_table(target, query) %}{{ return(adapter.dispatch('build_table')(target, query)) }}{% endmacro %}
{% macro default__build_table(target, query) %}
    {%- set existing, written = load_cached_relation(target), make_intermediate_relation(target) -%}
    {%- set put_aside = make_backup_relation(target, existing.type if existing is not none else 'table') -%}
    {% do drop_relation_if_exists(load_cached_relation(written)) %}
    {% do drop_relation_if_exists(load_cached_relation(put_aside)) %}
    {% call statement('main') %}{{ get_create_table_as_sql(False, written, query) }}{% endcall %}
    {% do create_indexes(written) %}
    {% if existing is not none %}{% do adapter.rename_relation(existing, put_aside) %}{% endif %}
    {% do adapter.rename_relation(written, target) %}
    {% do drop_relation_if_exists(put_aside if existing is not none else none) %}
{% endmacro %}
{% macro spark__build_table(target, query) %}
    {%- set existing = load_cached_relation(target) -%}
    {% do drop_relation_if_exists(existing) %}
    {% call statement('main') %}{{ get_create_table_as_sql(False, target, query) }}{% endcall %}
{% endmacro %}
