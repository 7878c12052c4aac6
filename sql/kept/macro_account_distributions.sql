-- account_distributions, of which the hours that are kept are not read again.
create or replace temp macro account_distributions(window_begin, window_end) as table
    select
        account_id,
        sum(events)::bigint as events,
        distribution_sum(prompt_sum) as prompt_sum
    from (
        select
            account_id,
            events,
            prompt_sum
        from kept.distributions
        union all
        select
            account_id,
            events,
            prompt_sum
        from distribution_hour
        where hour >= getvariable('kept_upto') and hour < window_end::timestamptz
        union all
        select
            account_id,
            events,
            prompt_sum
        from distribution_delta
        where hour >= getvariable('kept_upto') and hour < window_end::timestamptz
    ) as both_parts
    where
        window_begin::timestamptz = getvariable('kept_since')
        and window_end::timestamptz > getvariable('kept_upto')
    group by account_id
    union all
    select
        account_id,
        events,
        prompt_sum
    from stored.account_distributions(window_begin, window_end)
    where
        window_begin::timestamptz <> getvariable('kept_since')
        or window_end::timestamptz <= getvariable('kept_upto');
