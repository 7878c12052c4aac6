-- Which accounts send one prompt template, nearly nothing else, and are alike in ways that unrelated customers are not?
with
sent as (
    select
        target_kind as kind,
        target_id as template_id,
        source_id as account_id,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from links
    where
        hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
        and source_kind = 'account'
        and target_kind in ('template', 'system_prompt')
    group by all
),

active as (
    -- Every event has a model: these are the totals.
    select
        links.source_id as account_id,
        sum(links.events) as events,
        any_value(accounts.organisation) as organisation,
        any_value(accounts.payment_hash) as payment_hash,
        any_value(accounts.email_domain) as email_domain,
        any_value(accounts.created_at) > min(links.first_seen) - to_days($young_days::integer) as young
    from links
    left join accounts on links.source_id = accounts.account_id
    where
        links.hour >= date_trunc('hour', $since::timestamptz)
        and links.hour < $until::timestamptz
        and links.source_kind = 'account'
        and links.target_kind = 'model'
    group by links.source_id
),

member as (
    select
        sent.*,
        active.young,
        sent.events / active.events as share,
        -- Accounts that openly belong to one organisation are one customer, and one of them speaks for it.
        row_number() over (
            partition by sent.kind, sent.template_id, coalesce(active.organisation, 'account:' || sent.account_id)
            order by sent.account_id
        ) = 1 as speaks
    from sent
    inner join active on sent.account_id = active.account_id
    where sent.events >= $min_share * active.events
    qualify count(*) over (partition by sent.kind, sent.template_id) >= $min_accounts
),

crowd as (
    select
        kind,
        template_id,
        count(*) as accounts,
        count(*) filter (where speaks) as customers,
        avg(events) filter (where speaks) as mean_events,
        coalesce(stddev_samp(events) filter (where speaks) / avg(events) filter (where speaks), 0) as spread,
        count(*) filter (where speaks and young) as young,
        count(young) filter (where speaks) as known_age
    from member
    group by kind, template_id
    having count(*) filter (where speaks) >= $min_accounts
),

everyone as (
    select
        count(*) as accounts,
        count(*) filter (where young) as young,
        count(young) as known_age
    from active
),

trait as (
    select distinct
        source_id as account_id,
        target_kind as trait_kind,
        target_id as trait_id
    from links
    where
        hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
        and source_kind = 'account'
        and target_kind in ('client', 'network')
    union all
    select
        account_id,
        'payment' as trait_kind,
        payment_hash as trait_id
    from active
    where payment_hash is not null
    union all
    select
        account_id,
        'email domain' as trait_kind,
        email_domain as trait_id
    from active
    where email_domain is not null
),

holders as (
    select
        trait_kind,
        trait_id,
        count(*) as accounts
    from trait
    group by trait_kind, trait_id
    having count(*) >= 3
),

own as (
    -- Things that at least three of the crowd share and hardly anybody outside it has.
    select
        member.kind,
        member.template_id,
        trait.trait_kind,
        trait.trait_id
    from member
    inner join crowd on member.kind = crowd.kind and member.template_id = crowd.template_id
    inner join trait on member.account_id = trait.account_id
    inner join holders on trait.trait_kind = holders.trait_kind and trait.trait_id = holders.trait_id
    where member.speaks
    group by member.kind, member.template_id, trait.trait_kind, trait.trait_id
    having count(*) >= 3 and count(*) >= $own_share * any_value(holders.accounts)
),

alike as (
    select
        held.kind,
        held.template_id,
        count(distinct held.account_id) filter (where held.trait_kind = 'client') as client,
        count(distinct held.account_id) filter (where held.trait_kind = 'network') as network,
        count(distinct held.account_id) filter (where held.trait_kind = 'payment') as payment,
        count(distinct held.account_id) filter (where held.trait_kind = 'email domain') as email
    from (
        select
            own.kind,
            own.template_id,
            own.trait_kind,
            trait.account_id
        from own
        inner join trait on own.trait_kind = trait.trait_kind and own.trait_id = trait.trait_id
        inner join member
            on own.kind = member.kind and own.template_id = member.template_id and trait.account_id = member.account_id
        where member.speaks
    ) as held
    group by held.kind, held.template_id
),

facets as (
    select
        crowd.*,
        coalesce(alike.client / crowd.customers, 0) as client,
        coalesce(alike.network / crowd.customers, 0) as network,
        coalesce(alike.payment / crowd.customers, 0) as payment,
        coalesce(alike.email / crowd.customers, 0) as email,
        crowd.young / nullif(crowd.known_age, 0) as young_share,
        -- What share is young among everybody else, one young and one old account added.
        (everyone.young - crowd.young + 1) / (everyone.known_age - crowd.known_age + 2) as base_young,
        -- A crowd that is nearly everybody has everything to itself: that says nothing.
        1 - crowd.accounts / everyone.accounts as apart
    from crowd
    cross join everyone
    left join alike on crowd.kind = alike.kind and crowd.template_id = alike.template_id
),

judged as (
    select
        *,
        $prior
        + 3.0 * coalesce(greatest(0, (young_share - base_young) / (1 - base_young)), 0)
        -- Similar volumes say something only when there are more than one or two requests to compare.
        + 1.5 * greatest(0, 1 - spread) * least(1, greatest(0, (mean_events - 1) / 2))
        + apart * (2.5 * payment + 2.5 * email + 2.0 * network + 1.5 * client)
        + least(1, ln(customers / $min_accounts) / 3) as log_odds
    from facets
)

select
    'account' as dimension,
    member.account_id as entity_id,
    member.account_id,
    member.kind || ':' || member.template_id as group_key,
    member.share * member.events / (member.events + 0.1) / (1 + exp(-judged.log_odds)) as strength,
    format(
        '{:.0f} % of this account''s {} requests use one {} that {} accounts of {} customers send and little else '
        || '({:.0f} requests each, spread {:.2f}); {} are young against {:.0f} % elsewhere; '
        || 'sharing with each other and hardly anybody else: client {:.0f} %, network {:.0f} %, payment {:.0f} %, '
        || 'email domain {:.0f} %',
        100 * member.share,
        (member.events / member.share)::bigint,
        replace(member.kind, '_', ' '),
        judged.accounts,
        judged.customers,
        judged.mean_events,
        judged.spread,
        coalesce(format('{:.0f} %', 100 * judged.young_share), 'an unknown share'),
        100 * judged.base_young,
        100 * judged.client,
        100 * judged.network,
        100 * judged.payment,
        100 * judged.email
    ) as reason,
    member.first_seen,
    member.last_seen
from member
inner join judged on member.kind = judged.kind and member.template_id = judged.template_id
where 1 / (1 + exp(-judged.log_odds)) >= $min_strength
