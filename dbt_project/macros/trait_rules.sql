{# Place of a value among those of its trait, the surviving one first: by the trait's rule in the variable trait_rules. Expects the columns
   trait, rule, source, occurred_at and landed_seq. #}
{% macro survival_order() -%}
    {%- for trait, rule in var('trait_rules').items() if rule is not string %}
    case when trait = {{ sql_text(trait) }} then case source{% for source in rule %} when {{ sql_text(source) }} then {{ loop.index }}{% endfor %} else {{ rule | length + 1 }} end end,
    {%- endfor %}
    case when rule = 'oldest' then occurred_at end,
    case when rule = 'oldest' then landed_seq end,
    occurred_at desc,
    landed_seq desc
{%- endmacro %}

{% macro trait_rule() -%}
    case
        {%- for trait, rule in var('trait_rules').items() %}
        {%- set name = rule if rule is string else 'source_priority' %}
        {%- if name not in ('most_recent', 'oldest', 'source_priority') or rule == 'source_priority' %}
            {{ exceptions.raise_compiler_error("trait_rules: " ~ trait ~ " must be most_recent, oldest or a list of sources, not " ~ rule) }}
        {%- endif %}
        when trait = {{ sql_text(trait) }} then '{{ name }}'
        {%- endfor %}
        else 'most_recent'
    end
{%- endmacro %}

{% macro sql_text(text) -%}'{{ text | replace("'", "''") }}'{%- endmacro %}
