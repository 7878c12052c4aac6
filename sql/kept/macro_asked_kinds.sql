-- asked_kinds, of which the hours that are kept are not read again.
create or replace temp macro asked_kinds(window_begin, window_end) as table
    select
        account_id,
        request_kind,
        sum(requests)::bigint as requests
    from (
        select
            account_id,
            request_kind,
            requests
        from kept.kinds
        union all
        select
            account_id,
            request_kind,
            requests
        from stored.asked_kinds(getvariable('kept_upto'), window_end)
    ) as both_parts
    where
        window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
    group by account_id, request_kind
    union all
    select
        account_id,
        request_kind,
        requests
    from stored.asked_kinds(window_begin, window_end)
    where
        window_begin::timestamptz <> getvariable('kept_since')
        or window_end::timestamptz <= getvariable('kept_upto');
