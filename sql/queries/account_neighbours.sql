-- Which other accounts share something with an account (by default the most suspicious, else the busiest), and what?
-- $account = null
-- $hours = 168
-- $most_holders = 200
with
chosen as (
    select coalesce(
        $account,
        (select arg_max(entity_id, score) filter (where dimension = 'account') from findings),
        (select arg_max(account_id, events) from accounts)
    ) as account_id
),

shared as (
    select distinct
        source_id as account_id,
        target_kind as kind,
        target_id as id
    from
        link_rows(
            (select max(last_seen) from accounts) - to_hours($hours::integer - 1),
            (select max(last_seen) from accounts) + interval 1 hour
        )
    where target_kind not in ('model', 'asn')
    union all
    select
        account_id,
        unnest(['payment', 'email domain', 'organisation']) as kind,
        unnest([payment_hash, email_domain, organisation]) as id
    from accounts
),

holders as (
    -- What hundreds have says little about two of them.
    select
        kind,
        id,
        count(*) as accounts
    from shared
    where id is not null
    group by kind, id
    having count(*) between 2 and $most_holders
)

select
    other.account_id,
    count(*) as shared_things,
    round(sum(1 / holders.accounts), 3) as closeness,
    list(other.kind || ':' || other.id order by holders.accounts, other.kind, other.id)[1:10] as some_of_them
from chosen
inner join shared as mine on chosen.account_id = mine.account_id
inner join holders on mine.kind = holders.kind and mine.id = holders.id
inner join shared as other on mine.kind = other.kind and mine.id = other.id and mine.account_id <> other.account_id
group by other.account_id
order by closeness desc, other.account_id asc;
