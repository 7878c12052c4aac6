-- What accounts did between two moments, by whole hours, a row an account and hour: from account_hours(begin, end).
-- Columns: account_id, and those of fingerprints_1h that rules count with.
create or replace macro account_hours(window_begin, window_end) as table
    select
        entity_id as account_id,
        window_start,
        events,
        refused,
        input_tokens,
        output_tokens,
        single_turn,
        tool_events,
        sampled_n,
        logprobs,
        seeded,
        capped,
        prompt_sketch,
        first_seen,
        last_seen
    from fingerprints_1h
    where
        window_start >= date_trunc('hour', window_begin::timestamptz)
        and window_start < window_end::timestamptz
        and kind = 'account';
