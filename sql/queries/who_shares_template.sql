-- Which accounts share a prompt template (by default the one that most accounts share), and how much do they use it?
-- $template = null
-- $hours = 24
with
recent as (
    select
        source_id as account_id,
        target_id as template,
        sum(events) as requests,
        sum(output_tokens) as output_tokens,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from links
    where
        source_kind = 'account'
        and target_kind = 'template'
        and hour >= (select max(last_seen) from accounts) - to_hours($hours::integer)
    group by source_id, target_id
),

chosen as (
    select coalesce($template, arg_max(template, accounts)) as template
    from (
        select
            template,
            count(*) as accounts
        from recent
        group by template
    ) as sizes
)

select
    recent.template,
    recent.account_id,
    accounts.organisation,
    accounts.created_at,
    recent.requests::bigint as requests,
    round(recent.requests / accounts.events, 3) as share_of_all,
    recent.output_tokens::bigint as output_tokens,
    recent.first_seen,
    recent.last_seen
from recent
inner join chosen on recent.template = chosen.template
inner join accounts on recent.account_id = accounts.account_id
order by recent.requests desc, recent.account_id asc;
