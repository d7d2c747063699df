{# What a run may leave as it is: rows that nothing touched since the last whole build (control.current_run, the since_ columns; null
   where nothing stands). An incremental model empties itself then, so that what is no longer known goes too. #}

{# Events that the last whole build did not see: landed since, or known since. All of them where nothing stands. #}
{% macro is_new_event() -%}
    (
        landed_seq > (select coalesce(current_run.since_landed_seq, -1) from {{ source('control', 'current_run') }} as current_run)
        or known_at >= (select current_run.since_as_of from {{ source('control', 'current_run') }} as current_run)
    )
{%- endmacro %}

{# A pre-hook: empty the model where nothing of the last build stands; rows are replaced by the model's own strategy. #}
{% macro delete_touched() %}
    {% if is_incremental() %}
        delete from {{ this }}
        where (select current_run.since_run_seq from {{ source('control', 'current_run') }} as current_run) is null
    {% endif %}
{% endmacro %}

{# A pre-hook: delete the rows of evidence sets that an event came to, where the model may have none of them any more. #}
{% macro delete_sets_with_news() %}
    {% if is_incremental() %}
        delete from {{ this }}
        where evidence_id in (
            select touched.evidence_id from {{ ref('event_evidence') }} as touched
            where {{ is_new_event() }}
        )
    {% endif %}
{% endmacro %}
