-- Which accounts sent to the model what it had said before, and to whom: from output_loops(begin, end), by whole hours.
-- By sampled passages, about one in 256 windows of eight words, of responses and of users' messages and system prompts;
-- so outputs that came back whole and short mostly leave nothing. A passage counts where the model said it first: none
-- had sent it before, and not more than three accounts got it in answers that did not repeat their own requests.
-- Columns: from_account (whom the model said it to; the same as to_account where an account sent its own answers),
-- to_account, passages (distinct), outputs (answers that they are from), requests (with these passages, summed over
-- passages), audience (how many accounts sent such a passage, on average), median_delay_s (from said to sent first),
-- first_seen (when the first was said), last_seen (when the last was sent first).
create or replace macro output_loops(window_begin, window_end) as table
    with
    stored as (
        select
            hour,
            account_id,
            output,
            passage,
            events,
            first_seen
        from loop_hour
        where hour >= date_trunc('hour', window_begin::timestamptz) and hour < window_end::timestamptz
        union all
        select
            hour,
            account_id,
            output,
            passage,
            events,
            first_seen
        from loop_delta
        where hour >= date_trunc('hour', window_begin::timestamptz) and hour < window_end::timestamptz
    ),

    both_sides as materialized (
        -- By a join, which takes half of what grouping all passages takes.
        select distinct said.passage
        from (
            select passage from stored
            where output
        ) as said
        semi join (
            select passage from stored
            where not output
        ) as sent
            on said.passage = sent.passage
    ),

    candidate as (
        select stored.*
        from stored
        semi join both_sides on stored.passage = both_sides.passage
    ),

    concerned as (
        select distinct
            hour,
            account_id,
            output
        from candidate
    ),

    edge as (
        -- Of an account, hour and side the 64 smallest count, however many deltas brought some of their own.
        select
            stored.hour,
            stored.account_id,
            stored.output,
            list_sort(list_distinct(list(stored.passage)))[64] as last_kept
        from stored
        semi join concerned
            on
                stored.hour = concerned.hour
                and stored.account_id = concerned.account_id
                and stored.output = concerned.output
        group by stored.hour, stored.account_id, stored.output
    ),

    by_account as (
        select
            candidate.passage,
            candidate.account_id,
            min(candidate.first_seen) filter (where candidate.output) as said_at,
            min(candidate.first_seen) filter (where not candidate.output) as sent_at,
            coalesce(sum(candidate.events) filter (where not candidate.output), 0) as requests
        from candidate
        inner join edge
            on
                candidate.hour = edge.hour
                and candidate.account_id = edge.account_id
                and candidate.output = edge.output
        where edge.last_kept is null or candidate.passage <= edge.last_kept
        group by candidate.passage, candidate.account_id
    ),

    judged as (
        -- An answer that repeats what was asked, as a translation or a cleaned text does, is not its source.
        select
            *,
            coalesce(said_at < sent_at, said_at is not null) as told
        from by_account
    ),

    source as (
        select
            passage,
            arg_min(account_id, (said_at, account_id)) filter (where told) as account_id,
            min(said_at) filter (where told) as said_at,
            count(sent_at) as audience
        from judged
        group by passage
        having count(*) filter (where told) between 1 and 3 and min(said_at) filter (where told) < min(sent_at)
    ),

    heard as (
        select
            if(judged.told, judged.account_id, source.account_id) as from_account,
            judged.account_id as to_account,
            judged.passage,
            judged.requests,
            source.audience,
            if(judged.told, judged.said_at, source.said_at) as said_at,
            judged.sent_at
        from judged
        inner join source on judged.passage = source.passage
        where judged.sent_at is not null
    )

    select
        from_account,
        to_account,
        count(*) as passages,
        count(distinct said_at) as outputs,
        sum(requests)::bigint as requests,
        avg(audience) as audience,
        median(epoch(sent_at) - epoch(said_at)) as median_delay_s,
        min(said_at) as first_seen,
        max(sent_at) as last_seen
    from heard
    group by from_account, to_account;
