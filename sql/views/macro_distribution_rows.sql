-- What accounts asked between two moments, by whole hours, as it is stored: from distribution_rows(begin, end). Several
-- rows may be about one account and hour, and add up; account_distributions adds them up, at a cost. Columns: hour,
-- account_id, events, prompt_sum.
create or replace macro distribution_rows(window_begin, window_end) as table
    select
        hour,
        account_id,
        events,
        prompt_sum
    from distribution_hour
    where
        hour >= date_trunc('hour', window_begin::timestamptz)
        and hour < window_end::timestamptz
    union all
    select
        hour,
        account_id,
        events,
        prompt_sum
    from distribution_delta
    where
        hour >= date_trunc('hour', window_begin::timestamptz)
        and hour < window_end::timestamptz;
