{# What a run may leave as it is: rows that nothing touched since the last whole build (control.current_run, the since_ columns; null
   where nothing stands). An incremental model empties itself then, so that what is no longer known goes too. #}

{# Events that the last whole build did not see: landed since, or known since. All of them where nothing stands. #}
{% macro is_new_event() -%}
    (
        landed_seq > (select coalesce(current_run.since_landed_seq, -1) from {{ source('control', 'current_run') }} as current_run)
        or known_at >= (select current_run.since_as_of from {{ source('control', 'current_run') }} as current_run)
    )
{%- endmacro %}

{# A pre-hook: delete what the run writes anew. `touched` is a query of keys; without it rows are replaced by the model's own strategy. #}
{% macro delete_touched(key=none, touched=none) %}
    {% if is_incremental() %}
        delete from {{ this }}
        where
            (select current_run.since_run_seq from {{ source('control', 'current_run') }} as current_run) is null
            {% if touched is not none %}or {{ key }} in ({{ touched }}){% endif %}
    {% endif %}
{% endmacro %}

{# Evidence sets that may be somebody else's than at the last whole build: a new event carries them, or an identifier in them moved. #}
{% macro touched_evidence() %}
    select event_evidence.evidence_id
    from {{ ref('event_evidence') }} as event_evidence
    where {{ is_new_event() }}
    union
    select evidence_identifiers.evidence_id
    from {{ ref('evidence_identifiers') }} as evidence_identifiers
    where evidence_identifiers.identifier_id in (
        select membership_changes.identifier_id
        from {{ source('engine', 'membership_changes') }} as membership_changes
        inner join {{ source('control', 'current_run') }} as current_run
            on membership_changes.run_seq > coalesce(current_run.since_run_seq, -1)
    )
{% endmacro %}
