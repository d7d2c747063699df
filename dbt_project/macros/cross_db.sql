{# What differs between warehouses, and nothing else. Each macro has one body per dialect, side by side. #}

{% macro warehouse_type(generic) -%}{{ return(adapter.dispatch('warehouse_type')(generic)) }}{%- endmacro %}
{% macro default__warehouse_type(generic) %}{{ return(generic) }}{% endmacro %}
{# Texts are ordered by their bytes, as DuckDB orders them, whatever the database's own collation is. #}
{% macro postgres__warehouse_type(generic) -%}
    {{ return({'varchar': 'varchar collate "C"', 'blob': 'bytea'}.get(generic, generic)) }}
{%- endmacro %}

{# Text of one key path of a JSON object: json_text('context', 'campaign.source'). #}
{% macro json_text(column, path) -%}{{ return(adapter.dispatch('json_text')(column, path)) }}{%- endmacro %}
{% macro default__json_text(column, path) -%}({{ column }} ->> '$.{{ path }}'){%- endmacro %}
{% macro postgres__json_text(column, path) -%}({{ column }} #>> string_to_array('{{ path }}', '.')){%- endmacro %}

{# The JSON value (object or list) at one key. #}
{% macro json_value(column, path) -%}{{ return(adapter.dispatch('json_value')(column, path)) }}{%- endmacro %}
{% macro default__json_value(column, path) -%}({{ column }} -> '$.{{ path }}'){%- endmacro %}
{% macro postgres__json_value(column, path) -%}({{ column }} #> string_to_array('{{ path }}', '.')){%- endmacro %}

{# A select-list item that yields one row per element of a JSON list; what is no list yields none, so that one odd event stops no build. #}
{% macro json_elements(column) -%}{{ return(adapter.dispatch('json_elements')(column)) }}{%- endmacro %}
{% macro default__json_elements(column) -%}unnest(cast(case when json_type({{ column }}) = 'ARRAY' then {{ column }} end as json[])){%- endmacro %}
{% macro postgres__json_elements(column) -%}json_array_elements(case when json_typeof({{ column }}) = 'array' then {{ column }} end){%- endmacro %}

{# Number of keys is unknown, so one row per (key, value) of a JSON object comes through its keys. #}
{% macro json_object_keys(column) -%}{{ return(adapter.dispatch('json_object_keys')(column)) }}{%- endmacro %}
{% macro default__json_object_keys(column) -%}unnest(json_keys({{ column }})){%- endmacro %}
{% macro postgres__json_object_keys(column) -%}json_object_keys(case when json_typeof({{ column }}) = 'object' then {{ column }} end){%- endmacro %}

{% macro seconds_between(earlier, later) -%}{{ return(adapter.dispatch('seconds_between')(earlier, later)) }}{%- endmacro %}
{% macro default__seconds_between(earlier, later) -%}(date_diff('microsecond', {{ earlier }}, {{ later }}) / 1000000.0){%- endmacro %}
{% macro postgres__seconds_between(earlier, later) -%}cast(extract(epoch from {{ later }} - {{ earlier }}) as float8){%- endmacro %}

{# At the end of a subquery whose columns are used many times: PostgreSQL would write each out wherever it is used, and compute it as often. #}
{% macro computed_once() -%}{{ return(adapter.dispatch('computed_once')()) }}{%- endmacro %}
{% macro default__computed_once() %}{% endmacro %}
{% macro postgres__computed_once() %}offset 0{% endmacro %}

{% macro minus_days(instant, days) -%}({{ instant }} - interval '1 day' * ({{ days }})){%- endmacro %}

{# A double to so many decimal places, halves away from zero. #}
{% macro rounded(number, places) -%}{{ return(adapter.dispatch('rounded')(number, places)) }}{%- endmacro %}
{% macro default__rounded(number, places) -%}round({{ number }}, {{ places }}){%- endmacro %}
{% macro postgres__rounded(number, places) -%}
    (sign({{ number }}) * floor(abs({{ number }}) * 1e{{ places }} + 0.5) / 1e{{ places }})
{%- endmacro %}

{% macro regex_matches(text, pattern) -%}{{ return(adapter.dispatch('regex_matches')(text, pattern)) }}{%- endmacro %}
{% macro default__regex_matches(text, pattern) -%}regexp_matches({{ text }}, '{{ pattern }}'){%- endmacro %}
{% macro postgres__regex_matches(text, pattern) -%}({{ text }} ~ '{{ pattern }}'){%- endmacro %}

{% macro regex_remove(text, pattern) -%}regexp_replace({{ text }}, '{{ pattern }}', '', 'g'){%- endmacro %}

{# Text of the key that a column names. #}
{% macro json_text_at(column, key) -%}{{ return(adapter.dispatch('json_text_at')(column, key)) }}{%- endmacro %}
{% macro default__json_text_at(column, key) -%}json_extract_string({{ column }}, '/' || replace(replace({{ key }}, '~', '~0'), '/', '~1')){%- endmacro %}
{% macro postgres__json_text_at(column, key) -%}({{ column }} ->> {{ key }}){%- endmacro %}

{# Whether the key that a column names holds the boolean true: the text "true" does not. #}
{% macro json_is_true_at(column, key) -%}{{ return(adapter.dispatch('json_is_true_at')(column, key)) }}{%- endmacro %}
{% macro default__json_is_true_at(column, key) -%}coalesce(cast(json_extract({{ column }}, '/' || replace(replace({{ key }}, '~', '~0'), '/', '~1')) as varchar) = 'true', false){%- endmacro %}
{% macro postgres__json_is_true_at(column, key) -%}coalesce(cast({{ column }} -> {{ key }} as varchar) = 'true', false){%- endmacro %}

{# An amount that a client sent as text or number; null where it is neither, so that one odd event stops no build. #}
{% macro amount_or_null(text) -%}
    cast(
        case
            when {{ regex_matches(text, '^ *[+-]?([0-9]{1,40}[.]?[0-9]{0,40}|[.][0-9]{1,40})([eE][+-]?[0-9]{1,2})? *$') }} then {{ bounded_amount(text) }}
        end as decimal(18, 4)
    )
{%- endmacro %}

{# A number as an amount; null where it is too big for one. #}
{% macro bounded_amount(number) -%}{{ return(adapter.dispatch('bounded_amount')(number)) }}{%- endmacro %}
{% macro default__bounded_amount(number) -%}try_cast({{ number }} as decimal(18, 4)){%- endmacro %}
{% macro postgres__bounded_amount(number) -%}
    case when abs(cast({{ number }} as numeric)) < 99999999999999.99995 then cast(cast({{ number }} as numeric) as decimal(18, 4)) end
{%- endmacro %}

{# Aggregates: the value in the first or last row of a group by the given order, null included, among the rows where the condition holds. #}
{% macro value_at_first(value, order_by, condition) -%}{{ return(adapter.dispatch('value_at_first')(value, order_by, condition)) }}{%- endmacro %}
{% macro default__value_at_first(value, order_by, condition) -%}
    arg_min_null({{ value }}, row({{ order_by }})) filter (where {{ condition }})
{%- endmacro %}
{% macro postgres__value_at_first(value, order_by, condition) -%}
    (array_agg({{ value }} order by {{ order_by }}) filter (where {{ condition }}))[1]
{%- endmacro %}

{% macro value_at_last(value, order_by, condition) -%}{{ return(adapter.dispatch('value_at_last')(value, order_by, condition)) }}{%- endmacro %}
{% macro default__value_at_last(value, order_by, condition) -%}
    arg_max_null({{ value }}, row({{ order_by }})) filter (where {{ condition }})
{%- endmacro %}
{% macro postgres__value_at_last(value, order_by, condition) -%}
    (array_agg({{ value }} order by {{ order_by | replace(',', ' desc,') }} desc) filter (where {{ condition }}))[1]
{%- endmacro %}
