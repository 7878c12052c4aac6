-- What did an account (by default the busiest) do, hour by hour?
-- $account = null
-- $hours = 168
with newest as (
    select
        coalesce($account, arg_max(account_id, events)) as account_id,
        max(last_seen) as last_seen
    from accounts
)

select
    (select account_id from newest) as account_id,
    prints.window_start as hour,
    prints.events as requests,
    prints.errors,
    prints.rate_limited,
    prints.refused,
    prints.input_tokens,
    prints.output_tokens,
    prints.reasoning_tokens,
    round(prints.latency_ms / nullif(prints.latency_events, 0)) as mean_latency_ms,
    round(tally_quantile(prints.tally, 3, 0.5)) as median_latency_ms,
    round(prints.in_flight, 2) as in_flight,
    round(prints.distinct_ips) as addresses,
    round(prints.distinct_prompts) as prompts
from
    one_account_hours(
        (select account_id from newest),
        (select last_seen from newest) - to_hours($hours::integer - 1),
        (select last_seen from newest) + interval 1 hour
    ) as prints
order by prints.window_start;
