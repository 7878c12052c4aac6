-- What each account asked in each hour, as a sum of its prompts' features: only for the distance to other such sums.
-- Of text, or of content.distribution; no row where neither came. Sums of hours, accounts or campaigns:
-- distribution_sum(prompt_sum) beside sum(events).
create or replace view prompt_distributions as
select
    account_id, -- of the events
    hour, -- start of the hour, UTC
    sum(events)::bigint as events, -- requests whose last user message has a word
    distribution_sum(prompt_sum) as prompt_sum -- 64 numbers, for distribution_distance and distribution_spread
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
group by account_id, hour;
