{# The identifier's id everywhere: md5 of type and normalised value. #}
{% macro identifier_id(type, value) -%}
    md5({{ type }} || ':' || {{ value }})
{%- endmacro %}

{# 1 where an event opens a new visit: none before it, or the last one longer ago than the session gap. #}
{% macro opens_session(partition_by, instant) -%}
    case
        when lag({{ instant }}) over (partition by {{ partition_by }} order by {{ instant }}) is null then 1
        when
            {{ seconds_between('lag(' ~ instant ~ ') over (partition by ' ~ partition_by ~ ' order by ' ~ instant ~ ')', instant) }}
            > {{ var('session_gap_minutes') * 60 }} then 1
        else 0
    end
{%- endmacro %}
