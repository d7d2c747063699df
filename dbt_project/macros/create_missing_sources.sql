{# On an empty warehouse the tables that landing, the engine and the models' scorers write do not exist yet: create them empty
   from the columns declared in the sources' YAML, so that a plain `dbt build` works from the first minute. #}
{% macro create_missing_sources() %}
    {% if execute and flags.WHICH in ('build', 'run', 'test', 'show', 'seed', 'snapshot') %}
        {% for node in graph.sources.values() | sort(attribute='unique_id') %}
            {% set columns = [] %}
            {% for column in node.columns.values() %}
                {% do columns.append(column.name ~ ' ' ~ warehouse_type(column.data_type)) %}
            {% endfor %}
            {% do run_query('create schema if not exists ' ~ node.schema) %}
            {% do run_query('create table if not exists ' ~ node.schema ~ '.' ~ node.identifier ~ ' (' ~ columns | join(', ') ~ ')') %}
        {% endfor %}
        {% set start = run_started_at.strftime('%Y-%m-%d %H:%M:%S') %}
        {% do run_query(
            "insert into control.current_run (run_id, as_of, reporting_currency, phone_country_code, started_at) "
            ~ "select 'first', cast('" ~ start ~ "' as timestamp), '" ~ env_var('WEFT_REPORTING_CURRENCY', 'EUR') ~ "', '49', cast('" ~ start ~ "' as timestamp) "
            ~ "where not exists (select 1 from control.current_run)"
        ) %}
    {% endif %}
{% endmacro %}
