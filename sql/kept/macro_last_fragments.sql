-- last_fragments, of which the hours that are kept are not read again.
create or replace temp macro last_fragments(window_begin, window_end) as table
    select
        source_id,
        hour,
        last_kept
    from kept.edges
    where
        window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
    union all
    select
        source_id,
        hour,
        last_kept
    from stored.last_fragments(getvariable('kept_upto'), window_end)
    where
        window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
    union all
    select
        source_id,
        hour,
        last_kept
    from stored.last_fragments(window_begin, window_end)
    where
        window_begin::timestamptz <> getvariable('kept_since')
        or window_end::timestamptz <= getvariable('kept_upto');
