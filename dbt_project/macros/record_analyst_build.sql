{# Weft's own passes run dbt in several steps and mark the build whole themselves (var `weft_pass`). A plain `dbt build` by an analyst is whole when
   every model in it succeeded: the row tells the publisher that there is something new to serve. #}
{% macro record_analyst_build(results) %}
    {% if execute and not var('weft_pass', false) and flags.WHICH in ('build', 'run') %}
        {% set failed = results | selectattr('status', 'in', ['error', 'fail', 'runtime error', 'skipped', 'partial success']) | list %}
        {% if results and not failed %}
            {% set build_id = 'dbt-' ~ invocation_id %}
            {% do run_query(
                "insert into control.builds (build_id, as_of, completed_at) select '" ~ build_id ~ "', as_of, cast('"
                ~ run_started_at.strftime('%Y-%m-%d %H:%M:%S') ~ "' as timestamp) from control.current_run"
            ) %}
            {% do adapter.commit_if_has_connection() if adapter.commit_if_has_connection is defined %}
        {% endif %}
    {% endif %}
{% endmacro %}
