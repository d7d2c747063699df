{# What differs between warehouses, and nothing else. Each macro has one body per dialect, side by side. #}

{% macro warehouse_type(generic) -%}{{ return(adapter.dispatch('warehouse_type')(generic)) }}{%- endmacro %}
{% macro default__warehouse_type(generic) %}{{ return(generic) }}{% endmacro %}

{# Text of one key path of a JSON object: json_text('context', 'campaign.source'). #}
{% macro json_text(column, path) -%}{{ return(adapter.dispatch('json_text')(column, path)) }}{%- endmacro %}
{% macro default__json_text(column, path) -%}({{ column }} ->> '$.{{ path }}'){%- endmacro %}

{# The JSON value (object or list) at one key. #}
{% macro json_value(column, path) -%}{{ return(adapter.dispatch('json_value')(column, path)) }}{%- endmacro %}
{% macro default__json_value(column, path) -%}({{ column }} -> '$.{{ path }}'){%- endmacro %}

{# A select-list item that yields one row per element of a JSON list; what is no list yields none, so that one odd event stops no build. #}
{% macro json_elements(column) -%}{{ return(adapter.dispatch('json_elements')(column)) }}{%- endmacro %}
{% macro default__json_elements(column) -%}unnest(cast(case when json_type({{ column }}) = 'ARRAY' then {{ column }} end as json[])){%- endmacro %}

{# Number of keys is unknown, so one row per (key, value) of a JSON object comes through its keys. #}
{% macro json_object_keys(column) -%}{{ return(adapter.dispatch('json_object_keys')(column)) }}{%- endmacro %}
{% macro default__json_object_keys(column) -%}unnest(json_keys({{ column }})){%- endmacro %}

{% macro seconds_between(earlier, later) -%}{{ return(adapter.dispatch('seconds_between')(earlier, later)) }}{%- endmacro %}
{% macro default__seconds_between(earlier, later) -%}(date_diff('microsecond', {{ earlier }}, {{ later }}) / 1000000.0){%- endmacro %}

{% macro minus_days(instant, days) -%}({{ instant }} - interval '1 day' * ({{ days }})){%- endmacro %}

{% macro regex_matches(text, pattern) -%}{{ return(adapter.dispatch('regex_matches')(text, pattern)) }}{%- endmacro %}
{% macro default__regex_matches(text, pattern) -%}regexp_matches({{ text }}, '{{ pattern }}'){%- endmacro %}

{% macro regex_remove(text, pattern) -%}{{ return(adapter.dispatch('regex_remove')(text, pattern)) }}{%- endmacro %}
{% macro default__regex_remove(text, pattern) -%}regexp_replace({{ text }}, '{{ pattern }}', '', 'g'){%- endmacro %}

{# Text of the key that a column names. #}
{% macro json_text_at(column, key) -%}{{ return(adapter.dispatch('json_text_at')(column, key)) }}{%- endmacro %}
{% macro default__json_text_at(column, key) -%}json_extract_string({{ column }}, '/' || replace(replace({{ key }}, '~', '~0'), '/', '~1')){%- endmacro %}

{# An amount that a client sent as text or number; null where it is neither, so that one odd event stops no build. #}
{% macro amount_or_null(text) -%}{{ return(adapter.dispatch('amount_or_null')(text)) }}{%- endmacro %}
{% macro default__amount_or_null(text) -%}try_cast({{ text }} as decimal(18, 4)){%- endmacro %}

{# Aggregates: the value in the first or last row of a group by the given order, null included, among the rows where the condition holds. #}
{% macro value_at_first(value, order_by, condition) -%}{{ return(adapter.dispatch('value_at_first')(value, order_by, condition)) }}{%- endmacro %}
{% macro default__value_at_first(value, order_by, condition) -%}
    arg_min_null({{ value }}, row({{ order_by }})) filter (where {{ condition }})
{%- endmacro %}

{% macro value_at_last(value, order_by, condition) -%}{{ return(adapter.dispatch('value_at_last')(value, order_by, condition)) }}{%- endmacro %}
{% macro default__value_at_last(value, order_by, condition) -%}
    arg_max_null({{ value }}, row({{ order_by }})) filter (where {{ condition }})
{%- endmacro %}
