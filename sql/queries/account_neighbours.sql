-- Which other accounts share something with an account (by default the most suspicious, else the busiest), and what?
-- $account = null
-- $hours = 168
-- $most_holders = 200
with
newest as (
    select max(last_seen) as last_seen
    from accounts
),

chosen as (
    select coalesce(
        $account,
        (select arg_max(entity_id, score) filter (where dimension = 'account') from findings),
        (select arg_max(account_id, events) from accounts)
    ) as account_id
),

facts as (
    select
        account_id,
        unnest(['payment', 'email domain', 'organisation']) as kind,
        unnest([payment_hash, email_domain, organisation]) as id
    from accounts
),

-- What the account has, before who else has it: of all things that all accounts have, few are its own.
mine as (
    select distinct
        target_kind as kind,
        target_id as id
    from
        link_rows(
            (select last_seen from newest) - to_hours($hours::integer - 1),
            (select last_seen from newest) + interval 1 hour
        )
    where source_id = (select account_id from chosen) and target_kind not in ('model', 'asn')
    union all
    select
        kind,
        id
    from facts
    where account_id = (select account_id from chosen) and id is not null
),

shared as (
    select distinct
        used.source_id as account_id,
        mine.kind,
        mine.id
    from
        link_rows(
            (select last_seen from newest) - to_hours($hours::integer - 1),
            (select last_seen from newest) + interval 1 hour
        ) as used
    inner join mine on used.target_kind = mine.kind and used.target_id = mine.id
    union all
    select
        facts.account_id,
        mine.kind,
        mine.id
    from facts
    inner join mine on facts.kind = mine.kind and facts.id = mine.id
),

holders as (
    -- What hundreds have says little about two of them.
    select
        kind,
        id,
        count(*) as accounts
    from shared
    group by kind, id
    having count(*) between 2 and $most_holders
)

select
    other.account_id,
    count(*) as shared_things,
    round(sum(1 / holders.accounts), 3) as closeness,
    list(other.kind || ':' || other.id order by holders.accounts, other.kind, other.id)[1:10] as some_of_them
from shared as other
inner join holders on other.kind = holders.kind and other.id = holders.id
where other.account_id <> (select account_id from chosen)
group by other.account_id
order by closeness desc, other.account_id asc;
