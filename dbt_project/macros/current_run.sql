{# The run clock: no model calls now(). control.current_run holds the one row that the run's start wrote. #}
{% macro as_of() -%}
    (select current_run.as_of from {{ source('control', 'current_run') }} as current_run)
{%- endmacro %}

{% macro reporting_currency() -%}
    (select current_run.reporting_currency from {{ source('control', 'current_run') }} as current_run)
{%- endmacro %}

{# Whole and fractional days from one instant to a later one. #}
{% macro days_between(earlier, later) -%}
    ({{ seconds_between(earlier, later) }} / 86400.0)
{%- endmacro %}

{# Days of the calendar from one instant to the other (a double): the same at every hour of a day, so that what was made of it can stay. #}
{% macro whole_days_between(earlier, later) -%}
    cast(cast({{ later }} as date) - cast({{ earlier }} as date) as float8)
{%- endmacro %}
