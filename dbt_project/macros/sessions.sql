{# 1 where an event opens a new visit: none before it, or the last one longer ago than the session gap. Events of one instant go by landed_seq,
   the order in which visits are numbered too: else the second of a pair could open the visit that the first is counted in. #}
{% macro opens_session(partition_by, instant, landed_seq) -%}
    {%- set earlier -%}
        lag({{ instant }}) over (partition by {{ partition_by }} order by {{ instant }}, {{ landed_seq }})
    {%- endset -%}
    case
        when {{ earlier }} is null then 1
        when {{ seconds_between(earlier, instant) }} > {{ var('session_gap_minutes') * 60 }} then 1
        else 0
    end
{%- endmacro %}
