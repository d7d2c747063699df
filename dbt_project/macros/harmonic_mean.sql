{# Of two shares; 0 where both are 0, null where one is null. #}
{% macro harmonic_mean(one, other) -%}
    case when {{ one }} + {{ other }} = 0 then 0 else 2 * {{ one }} * {{ other }} / ({{ one }} + {{ other }}) end
{%- endmacro %}
