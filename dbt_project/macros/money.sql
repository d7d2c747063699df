{# An amount in its own currency, in the reporting currency. `rate` and `reporting_rate` are units for 1 EUR on the same day. #}
{% macro in_reporting_currency(amount, rate, reporting_rate) -%}
    cast({{ rounded('(' ~ amount ~ ') * (cast(' ~ reporting_rate ~ ' as float8) / ' ~ rate ~ ')', 4) }} as decimal(18, 4))
{%- endmacro %}

{# Sum of an amount over the last days before an instant; the instants are exclusive at the end. #}
{% macro sum_within(amount, instant, until, days) -%}
    coalesce(sum(case when {{ instant }} >= {{ minus_days(until, days) }} then {{ amount }} end), 0)
{%- endmacro %}

{% macro count_within(instant, until, days, condition='true') -%}
    count(case when {{ instant }} >= {{ minus_days(until, days) }} and {{ condition }} then 1 end)
{%- endmacro %}
