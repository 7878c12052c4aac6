-- Which accounts send most requests?
-- $hours = 24
-- $rows = 50
with sent as (
    select
        account_id,
        sum(events)::bigint as requests,
        sum(output_tokens)::bigint as output_tokens,
        sum(latency_ms) / 3600000 / count(distinct window_start) as in_flight,
        sum(errors) / sum(events) as error_share,
        max(last_seen) as last_seen
    from
        account_request_rows(
            (select max(seen.last_seen) from accounts as seen) - to_hours($hours::integer - 1),
            (select max(seen.last_seen) from accounts as seen) + interval 1 hour
        )
    group by account_id
    order by requests desc, account_id asc
    limit $rows
)

select
    sent.account_id,
    accounts.organisation,
    accounts.plan,
    accounts.created_at,
    sent.requests,
    sent.output_tokens,
    round(sent.in_flight, 2) as in_flight,
    round(sent.error_share, 3) as error_share,
    sent.last_seen
from sent
left join accounts on sent.account_id = accounts.account_id
order by sent.requests desc, sent.account_id asc;
