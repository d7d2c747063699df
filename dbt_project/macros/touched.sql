{# Models with the incremental strategy `touched` do work in proportion to what changed: rows of the keys in customer_360.touched_customers (or of what
   their own unique_key is touched by) are deleted and computed again, all others stay as the last whole build left them. #}

{# Which relation says that rows with a key are touched; the key's own name is its column. A unit test builds everything, so it is given none of them. #}
{% macro touched_relation(key) -%}
    {% set relations = {
        'customer_id': 'touched_customers',
        'order_key': 'touched_orders',
        'refund_key': 'touched_refunds',
        'evidence_id': 'touched_evidence',
    } %}
    {{ return(none if model.resource_type == 'unit_test' else ref(relations[key])) }}
{%- endmacro %}

{% macro is_touched(key, column) -%}
    {{ column }} in (select touched.{{ key }} from {{ touched_relation(key) }} as touched)
{%- endmacro %}

{# Whether this build of the model computes only what is touched. #}
{% macro leaves_the_rest() %}
    {{ return(model.resource_type != 'unit_test' and is_incremental()) }}
{% endmacro %}

{# Another condition of a model's query: the rows that are computed again, or all where everything is. #}
{% macro and_touched(key, column) -%}
    {%- set condition = is_touched(key, column) -%}
    {%- if leaves_the_rest() %}and {{ condition }}{% endif -%}
{%- endmacro %}

{# Feature rows are computed again for touched keys at every date, and for all keys at the dates that do not stand (the run's own, new ones). `keys` and
   `dates` are the aliases that hold the key and as_of_date. #}
{% macro is_redone_at_date(key, keys, dates) -%}
    (
        {{ is_touched(key, keys ~ '.' ~ key) }}
        or {{ dates or keys }}.as_of_date not in (select standing.as_of_date from {{ standing_dates() }} as standing)
    )
{%- endmacro %}

{% macro and_redone_at_date(key, keys, dates=none) -%}
    {%- set condition = is_redone_at_date(key, keys, dates) -%}
    {%- if leaves_the_rest() %}and {{ condition }}{% endif -%}
{%- endmacro %}

{% macro standing_dates() -%}
    {{ return(none if model.resource_type == 'unit_test' else source('control', 'standing_dates')) }}
{%- endmacro %}

{# The strategy: both statements run in the model's one transaction. #}
{% macro get_incremental_touched_sql(arguments) -%}
    {%- set target = arguments['target_relation'] -%}
    {%- set key = arguments['unique_key'] -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ target }} as stood
    where {{ is_touched(key, 'stood.' ~ key) if key is string else is_redone_at_date(key[0], 'stood') }};

    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ arguments['temp_relation'] }};
{%- endmacro %}

{# dbt's own, and: a model of the strategy is built whole where nothing of the last build stands (control.current_run says so when a run starts). #}
{% macro should_full_refresh() %}
    {% if execute and config.get('incremental_strategy') == 'touched' and not anything_stands() %}
        {{ return(true) }}
    {% endif %}
    {% set asked = config.get('full_refresh') %}
    {{ return(flags.FULL_REFRESH if asked is none else asked) }}
{% endmacro %}

{% macro anything_stands() %}
    {% set run = run_query('select since_run_seq from control.current_run') %}
    {{ return(run.rows | length == 1 and run.rows[0][0] is not none) }}
{% endmacro %}

{# The known events of touched customers with their customer, read once; all events that are somebody's where everything is built again. Touched sets of
   identifiers are found first, so that events meet only these. #}
{% macro touched_events(columns) -%}
    {%- set all_events = ref('events') -%}
    {%- set touched = touched_relation('customer_id') -%}
    {%- if touched %}
        {%- set stg_events, event_evidence, evidence_customers = ref('stg_events'), ref('event_evidence'), ref('evidence_customers') -%}
    {%- endif %}
    {%- if leaves_the_rest() %}
    select
        owners.customer_id,
        event_evidence.landed_seq
        {%- for column in columns %},
        stg_events.{{ column }}
        {%- endfor %}
    from {{ stg_events }} as stg_events
    inner join {{ event_evidence }} as event_evidence on stg_events.landed_seq = event_evidence.landed_seq
    inner join (
        select
            evidence_customers.evidence_id,
            evidence_customers.valid_from,
            evidence_customers.valid_to,
            touched.customer_id
        from {{ evidence_customers }} as evidence_customers
        inner join {{ touched }} as touched on evidence_customers.customer_id = touched.customer_id
    ) as owners
        on
            event_evidence.evidence_id = owners.evidence_id
            and {{ is_owner_at('owners', 'event_evidence.ordered_at') }}
    where stg_events.known_at < {{ as_of() }}
    {%- else %}
    select
        customer_id,
        landed_seq
        {%- for column in columns %},
        {{ column }}
        {%- endfor %}
    from {{ all_events }}
    where customer_id is not null
    {%- endif %}
{%- endmacro %}

{# Whether an event became known to this warehouse after the last whole build: it landed since, or its known_at came. Null where no build stands. #}
{% macro is_news(events, run) -%}
    ({{ events }}.landed_seq > {{ run }}.since_landed_seq or {{ events }}.known_at >= {{ run }}.since_as_of)
{%- endmacro %}

{# Whether an instant was within the last days, for one of `windows`, at the last whole build and is no more. #}
{% macro passed_edges(instant, windows, run) -%}
    (
        {%- for days in windows %}
        {% if not loop.first %}or {% endif -%}
        ({{ instant }} >= {{ minus_days(run ~ '.since_as_of', days) }} and {{ instant }} < {{ minus_days(run ~ '.as_of', days) }})
        {%- endfor %}
    )
{%- endmacro %}
