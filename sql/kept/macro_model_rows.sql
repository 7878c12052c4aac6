-- What active_accounts reads of link_rows, of which the hours that are kept are added up: events by account.
create or replace temp macro model_rows(window_begin, window_end) as table
    select
        source_id,
        'model' as target_kind,
        events,
        first_seen
    from kept.requests
    where
        window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
    union all
    select
        source_id,
        target_kind,
        events,
        first_seen
    from link_rows(getvariable('kept_upto'), window_end)
    where
        target_kind = 'model'
        and window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
    union all
    select
        source_id,
        target_kind,
        events,
        first_seen
    from link_rows(window_begin, window_end)
    where
        target_kind = 'model'
        and (
            window_begin::timestamptz <> getvariable('kept_since')
            or window_end::timestamptz <= getvariable('kept_upto')
        );
