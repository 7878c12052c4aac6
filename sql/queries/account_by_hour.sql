-- What did an account (by default the busiest) do, hour by hour?
-- $account = null
-- $hours = 168
with chosen as (
    select coalesce($account, arg_max(account_id, events)) as account_id
    from accounts
)

select
    prints.entity_id as account_id,
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
from fingerprints_1h as prints
inner join chosen on prints.entity_id = chosen.account_id
where
    prints.kind = 'account'
    and prints.window_start >= (select max(last_seen) from accounts) - to_hours($hours::integer)
order by prints.window_start;
