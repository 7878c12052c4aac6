-- Which accounts share a prompt template (by default the one that most accounts share), and how much do they use it?
-- $template = null
-- $hours = 24
with
newest as (
    select max(last_seen) as last_seen
    from accounts
),

chosen as (
    select coalesce($template, arg_max(template, accounts)) as template
    from (
        select
            target_id as template,
            count(distinct source_id) as accounts
        from
            link_rows(
                (select last_seen from newest) - to_hours($hours::integer - 1),
                (select last_seen from newest) + interval 1 hour
            )
        where target_kind = 'template'
        group by target_id
    ) as sizes
),

recent as (
    select
        source_id as account_id,
        target_id as template,
        sum(events) as requests,
        sum(output_tokens) as output_tokens,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from
        links_of(
            'account',
            (select last_seen from newest) - to_hours($hours::integer - 1),
            (select last_seen from newest) + interval 1 hour
        )
    where target_kind = 'template' and target_id = (select template from chosen)
    group by source_id, target_id
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
inner join accounts on recent.account_id = accounts.account_id
order by recent.requests desc, recent.account_id asc;
