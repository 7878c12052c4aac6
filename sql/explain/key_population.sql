-- Who shares each thing in a span of time, and who are all the others: the population that it is rare or common in.
with
key as (
    select
        group_key,
        split_part(group_key, ':', 1) as kind,
        substring(group_key, strpos(group_key, ':') + 1) as id
    from (select unnest($keys::varchar[]) as group_key) as wanted
),

active as (
    -- Every request has a model: these are the totals.
    select
        links.source_id as account_id,
        sum(links.events) as events,
        any_value(accounts.created_at) > min(links.first_seen) - to_days($young_days::integer) as young,
        any_value(accounts.organisation) as organisation,
        any_value(accounts.payment_hash) as payment,
        any_value(accounts.email_domain) as mail
    from links
    left join accounts on links.source_id = accounts.account_id
    where
        links.source_kind = 'account'
        and links.target_kind = 'model'
        and links.hour >= date_trunc('hour', $since::timestamptz)
        and links.hour < $until::timestamptz
    group by links.source_id
),

used as (
    select
        key.group_key,
        links.source_id as account_id,
        sum(links.events) as events
    from links
    inner join key on links.target_kind = key.kind and links.target_id = key.id
    where
        links.source_kind = 'account'
        and links.hour >= date_trunc('hour', $since::timestamptz)
        and links.hour < $until::timestamptz
    group by key.group_key, links.source_id
),

holder as (
    select *
    from used
    union all
    -- What is no thing of a request (one source of prompts, a known set): whoever a rule has a signal of it about.
    select
        signals.group_key,
        active.account_id,
        any_value(active.events) as events
    from signals
    inner join active on signals.account_id = active.account_id
    where
        signals.group_key in (select group_key from key)
        and signals.group_key not in (select group_key from used)
        and signals.last_seen >= $since::timestamptz
        and signals.first_seen < $until::timestamptz
    group by signals.group_key, active.account_id
),

held_network as (
    select distinct target_id as network
    from links
    where
        source_kind = 'account'
        and target_kind = 'network'
        and source_id in (select account_id from holder)
        and hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
),

trait as (
    select distinct
        source_id as account_id,
        'network' as trait,
        target_id as value
    from links
    where
        source_kind = 'account'
        and target_kind = 'network'
        and target_id in (select network from held_network)
        and hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
    union all
    select
        account_id,
        'mail' as trait,
        mail as value
    from active
    where mail is not null
    union all
    select
        account_id,
        'organisation' as trait,
        organisation as value
    from active
    where organisation is not null
    union all
    select
        account_id,
        'payment' as trait,
        payment as value
    from active
    where payment is not null
),

everywhere as (
    select
        trait,
        value,
        count(*) as accounts
    from trait
    group by trait, value
),

crowd as (
    select
        holder.group_key,
        count(*) as accounts,
        count(*) filter (where holder.events >= 0.8 * active.events) as devoted,
        sum(holder.events)::bigint as events,
        count(*) filter (where active.young) as young,
        count(active.young) as known_age
    from holder
    inner join active on holder.account_id = active.account_id
    group by holder.group_key
),

everyone as (
    select
        count(*) as accounts,
        count(*) filter (where young) as young,
        count(young) as known_age
    from active
),

valued as (
    -- How many of them have each value, the most common first.
    select
        holder.group_key,
        trait.trait,
        count(*) as accounts,
        any_value(everywhere.accounts) as accounts_everywhere,
        row_number() over (
            partition by holder.group_key, trait.trait
            order by count(*) desc, trait.value asc
        ) as place
    from holder
    inner join trait on holder.account_id = trait.account_id
    inner join everywhere on trait.trait = everywhere.trait and trait.value = everywhere.value
    group by holder.group_key, trait.trait, trait.value
),

common as (
    -- Beside the largest group of each kind: those in other groups of three or more that hardly anybody outside is in.
    select
        group_key,
        trait,
        max(accounts) as accounts,
        arg_min(accounts_everywhere, place) as accounts_everywhere,
        coalesce(
            sum(accounts) filter (where place > 1 and accounts >= 3 and accounts >= 0.5 * accounts_everywhere), 0
        )::bigint as pooled
    from valued
    group by group_key, trait
),

told as (
    select
        holder.group_key,
        trait.trait,
        count(distinct trait.account_id) as known
    from holder
    inner join trait on holder.account_id = trait.account_id
    group by holder.group_key, trait.trait
)

select
    crowd.group_key,
    crowd.accounts,
    crowd.devoted,
    crowd.events,
    crowd.young,
    crowd.known_age,
    everyone.accounts as everyone,
    everyone.young - crowd.young as others_young,
    everyone.known_age - crowd.known_age as others_known_age,
    coalesce(
        (
            select
                list({
                    'trait': common.trait,
                    'known': told.known,
                    'largest': common.accounts,
                    'everywhere': common.accounts_everywhere,
                    'pooled': common.pooled
                } order by common.trait)
            from common
            inner join told on common.group_key = told.group_key and common.trait = told.trait
            where common.group_key = crowd.group_key
        ),
        []
    ) as traits
from crowd
cross join everyone
order by crowd.group_key;
