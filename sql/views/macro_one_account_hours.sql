-- What one account did between two moments, by whole hours, a row an hour: from one_account_hours(account, begin, end).
-- Only its own rows are read, also where the account is the answer to a question. Columns: window_start, and those of
-- fingerprints_1h that say how much it asked.
create or replace macro one_account_hours(account, window_begin, window_end) as table
    select
        window_start,
        least(sum(events), 9223372036854775807)::bigint as events,
        least(sum(errors), 9223372036854775807)::bigint as errors,
        least(sum(rate_limited), 9223372036854775807)::bigint as rate_limited,
        least(sum(refused), 9223372036854775807)::bigint as refused,
        least(sum(input_tokens), 9223372036854775807)::bigint as input_tokens,
        least(sum(output_tokens), 9223372036854775807)::bigint as output_tokens,
        least(sum(reasoning_tokens), 9223372036854775807)::bigint as reasoning_tokens,
        least(sum(latency_ms), 9223372036854775807)::bigint as latency_ms,
        least(sum(latency_events), 9223372036854775807)::bigint as latency_events,
        sum(latency_ms)::double / 3600000 as in_flight,
        sketch_distinct(sketch_merge(flatten(list(ip_sketch)))) as distinct_ips,
        sketch_distinct(sketch_merge(flatten(list(prompt_sketch)))) as distinct_prompts,
        tally_merge(flatten(list(tally))) as tally
    from (
        select
            window_start,
            events,
            errors,
            rate_limited,
            refused,
            input_tokens,
            output_tokens,
            reasoning_tokens,
            latency_ms,
            latency_events,
            tally,
            ip_sketch,
            prompt_sketch
        from hour
        where
            kind = 'account'
            and entity_id = account
            and window_start >= date_trunc('hour', window_begin::timestamptz)
            and window_start < window_end::timestamptz
        union all
        select
            time_bucket(interval '1 hour', pane, timestamptz '1970-01-01 00:00:00+00') as window_start,
            events,
            errors,
            rate_limited,
            refused,
            input_tokens,
            output_tokens,
            reasoning_tokens,
            latency_ms,
            latency_events,
            tally,
            ip_sketch,
            prompt_sketch
        from pane_delta
        where
            kind = 'account'
            and entity_id = account
            and pane >= date_trunc('hour', window_begin::timestamptz)
            -- Whole hours: an hour that has begun when the window ends is in it.
            and pane < date_trunc('hour', window_end::timestamptz - interval 1 microsecond) + interval 1 hour
    ) as rows_of_both
    group by window_start;
