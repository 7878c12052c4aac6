-- What accounts asked between two moments, by whole hours, a row an account: from account_distributions(begin, end).
-- Columns: account_id, events (requests whose last user message has a word), prompt_sum (for distribution_distance).
create or replace macro account_distributions(window_begin, window_end) as table
    select
        account_id,
        sum(events)::bigint as events,
        distribution_sum(prompt_sum) as prompt_sum
    from (
        select
            account_id,
            hour,
            events,
            prompt_sum
        from distribution_hour
        union all
        select
            account_id,
            hour,
            events,
            prompt_sum
        from distribution_delta
    ) as rows_of_both
    where
        hour >= date_trunc('hour', window_begin::timestamptz)
        and hour < window_end::timestamptz
    group by account_id;
