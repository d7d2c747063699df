{# The identifier's id everywhere: md5 of type and normalised value. #}
{% macro identifier_id(type, value) -%}
    md5({{ type }} || ':' || {{ value }})
{%- endmacro %}
