-- What kinds of requests accounts sent between two moments, by whole hours: from asked_kinds(begin, end). A row an
-- account and kind of request, with requests; docs/request-kinds.md has the kinds. Tallies add up as they are stored:
-- merging them hour by hour first, as fingerprints_1h does, would cost several times as much.
create or replace macro asked_kinds(window_begin, window_end) as table
    with
    tallied as (
        select
            entity_id,
            tally
        from hour
        where
            window_start >= date_trunc('hour', window_begin::timestamptz)
            and window_start < window_end::timestamptz
            and kind = 'account'
        union all
        select
            entity_id,
            tally
        from pane_delta
        where
            pane >= date_trunc('hour', window_begin::timestamptz)
            -- Whole hours: an hour that has begun when the window ends is in it.
            and pane < date_trunc('hour', window_end::timestamptz - interval 1 microsecond) + interval 1 hour
            and kind = 'account'
    ),

    coded as (
        -- A tenth of a tally is about kinds: told before each code is a row.
        select
            entity_id,
            unnest(list_filter(tally, lambda code: code >> 40 = 5)) as code
        from tallied
    )

    select
        entity_id as account_id,
        request_kind((code >> 32) & 255) as request_kind,
        sum(code & 4294967295)::bigint as requests
    from coded
    group by entity_id, request_kind;
