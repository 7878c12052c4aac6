-- What crowds reads of link_rows, of which the hours that are kept are told once: who had which client and network.
create or replace temp macro trait_rows(window_begin, window_end) as table
    select
        source_id,
        target_kind,
        target_id
    from kept.traits
    where
        window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
    union all
    select
        source_id,
        target_kind,
        target_id
    from link_rows(getvariable('kept_upto'), window_end)
    where
        target_kind in ('client', 'network')
        and window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
    union all
    select
        source_id,
        target_kind,
        target_id
    from link_rows(window_begin, window_end)
    where
        target_kind in ('client', 'network')
        and (
            window_begin::timestamptz <> getvariable('kept_since')
            or window_end::timestamptz <= getvariable('kept_upto')
        );
