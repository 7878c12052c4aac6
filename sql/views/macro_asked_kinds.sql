-- What kinds of requests accounts sent between two moments, by whole hours: from asked_kinds(begin, end). A row an
-- account and kind of request, with requests; docs/request-kinds.md has the kinds. Tallies add up as they are stored:
-- merging them hour by hour first, as fingerprints_1h does, would cost several times as much.
create or replace macro asked_kinds(window_begin, window_end) as table
    with
    coded as (
        -- A tenth of a tally is about kinds: told before each entry is a row.
        select
            account_id,
            unnest(list_filter(tally, lambda entry: (entry & 4095) >> 8 = 5)) as entry
        from account_rows(window_begin, window_end)
    )

    select
        account_id,
        request_kind(entry & 255) as request_kind,
        sum(entry >> 12)::bigint as requests
    from coded
    group by account_id, request_kind;
