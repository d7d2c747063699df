{# Orders and refunds are told by events, a later one replacing an earlier: the whole ones each other and all partial ones, by occurred_at. A version
   stands from known_at until the first event is known that replaces it. So what stood at any date can be read from the same rows. #}
{% macro replaced_at(key) -%}
    min(case when not is_partial then known_at end) over (
        partition by {{ key }}
        order by is_partial desc, occurred_at, known_at, landed_seq
        rows between 1 following and unbounded following
    )
{%- endmacro %}

{% macro stands_at(version, instant) -%}
    {{ version }}.known_at < {{ instant }} and ({{ version }}.known_until is null or {{ version }}.known_until >= {{ instant }})
{%- endmacro %}

{# The newest event so far, by the time it was known, that carries an identifier: an update sent by a server may carry none. #}
{% macro newest_evidence(key) -%}
    max(case when evidence_id is not null then known_rank end) over (partition by {{ key }} order by known_rank rows unbounded preceding)
{%- endmacro %}

{# What an event of an order tells of: one order of one source. #}
{% macro order_key(events) -%}
    {{ events }}.source || ':' || {{ events }}.order_id
{%- endmacro %}

{# What an event of a refund tells of: without a refund_id it is a refund of its own, or of its order where it is some of its lines. #}
{% macro refund_key(events) -%}
    {{ events }}.source || ':' || coalesce(
        {{ events }}.refund_id, case when {{ events }}.is_partial then {{ events }}.order_id end, {{ events }}.message_id
    )
{%- endmacro %}
