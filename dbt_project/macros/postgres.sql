{# What dbt does on PostgreSQL in a way of our own. #}

{# Every text column of a model is ordered by its bytes, as on DuckDB: whatever is the database's collation, min, max and ties come out alike. #}
{% macro postgres__get_table_columns_and_constraints() -%}
    {%- set declared = [] -%}
    {%- for column in adapter.render_raw_columns_constraints(raw_columns=model['columns']) -%}
        {%- do declared.append(column | replace(' varchar', ' ' ~ warehouse_type('varchar'))) -%}
    {%- endfor -%}
    ({{ declared | join(', ') }})
{%- endmacro %}

{# With a table go the models that are views of it, as dbt expects. But a table that a served build still reads is put aside rather than
   dropped: readers keep the build that they have. orchestration.postgres_serving drops it when nothing reads it any more. #}
{% macro postgres__drop_table(relation) -%}
    {%- set put_aside = relation.identifier[:30] ~ '_' ~ modules.datetime.datetime.now().strftime('%Y%m%d%H%M%S%f') -%}
    do $$
    declare
        reader regclass;
    begin
        for reader in
            select distinct views.oid
            from pg_depend
            join pg_rewrite on pg_depend.objid = pg_rewrite.oid
            join pg_class as views on pg_rewrite.ev_class = views.oid
            where pg_depend.refobjid = to_regclass('{{ relation }}') and starts_with(views.relnamespace::regnamespace::text, 'build_') is false
        loop
            execute 'drop view ' || reader || ' cascade';
        end loop;
        drop table if exists {{ relation }};
    exception when dependent_objects_still_exist then
        create schema if not exists weft_retired;
        alter table {{ relation }} rename to "{{ put_aside }}";
        alter table "{{ relation.schema }}"."{{ put_aside }}" set schema weft_retired;
    end
    $$
{%- endmacro %}

{# The planner knows nothing of a table that was written a moment ago. #}
{% macro analyze_table() -%}{{ return(adapter.dispatch('analyze_table')()) }}{%- endmacro %}
{% macro default__analyze_table() %}{% endmacro %}
{% macro postgres__analyze_table() -%}
    {% if config.get('materialized') != 'view' %}analyze {{ this }}{% endif %}
{%- endmacro %}

{# Also what an incremental model is about to add has the types of its contract: on_schema_change compares them with those of the table.
   A unit test has no contract of its own. #}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
    create {{ 'temporary' if temporary }} table {{ relation }}
    {% if model['columns'] -%}
        {{ get_assert_columns_equivalent(sql) }}
        {{ get_table_columns_and_constraints() }};
        insert into {{ relation }} ({{ adapter.dispatch('get_column_names', 'dbt')() }}) {{ get_select_subquery(sql) }};
    {%- else -%}
        as ({{ sql }});
    {%- endif %}
{%- endmacro %}

{# An analyst's own build starts when no pass is writing: it queues on the lock of orchestration.postgres_warehouse. dbt closes its connection
   after every model, so it cannot hold the lock: a pass that starts meanwhile runs beside it. #}
{% macro wait_for_the_writer() -%}{{ return(adapter.dispatch('wait_for_the_writer')()) }}{%- endmacro %}
{% macro default__wait_for_the_writer() %}{% endmacro %}
{% macro postgres__wait_for_the_writer() %}
    {% set writer_lock = 1466263156 %}
    {% if execute and not var('weft_pass', false) and flags.WHICH in ('build', 'run') %}
        {% if not run_query('select pg_try_advisory_lock(' ~ writer_lock ~ ')').columns[0][0] %}
            {% do log('Another run is writing to the warehouse; waiting for it to finish.', info=true) %}
            {% do run_query('select pg_advisory_lock(' ~ writer_lock ~ ')') %}
        {% endif %}
    {% endif %}
{% endmacro %}
