-- Which accounts send one prompt, or a passage of it, and are alike in ways that unrelated customers are not?
with
active as (
    select
        *,
        created_at > first_seen - to_days($young_days::integer) as young
    from active_accounts($since, $until)
),

member as (
    select
        sent.*,
        active.young,
        sent.events / active.events as share,
        -- One account speaks for each customer.
        row_number() over (
            partition by sent.kind, sent.thing_id, active.customer
            order by sent.account_id
        ) = 1 as speaks
    from account_texts($since, $until) as sent
    inner join active on sent.account_id = active.account_id
    where
        if(
            sent.kind = 'fragment',
            -- A gateway or a person may say it once by chance; who distils in a tenth of his traffic says it often.
            sent.events >= $min_share_passage * active.events
            and (sent.events > 1 or sent.events >= 0.5 * active.events),
            sent.events >= $min_share * active.events
        )
    qualify count(*) over (partition by sent.kind, sent.thing_id) >= $min_accounts
),

asked as (
    -- How many of an account's requests ask for reasoning, grades, rewriting or new instructions, whatever the prompt.
    select
        account_id,
        sum(struct_extract(entry, 'count')) as requests
    from (
        select
            prints.entity_id as account_id,
            unnest(request_kinds(flatten(list(prints.tally)))) as entry
        from fingerprints_1h as prints
        where
            prints.window_start >= date_trunc('hour', $since::timestamptz)
            and prints.window_start < $until::timestamptz
            and prints.kind = 'account'
            and prints.entity_id in (select account_id from member)
        group by prints.entity_id
    ) as entries
    where struct_extract(entry, 'request_kind') not in ('ordinary', 'benchmark_item')
    group by account_id
),

crowd as (
    select
        member.kind,
        member.thing_id,
        count(*) as accounts,
        count(*) filter (where member.speaks) as customers,
        avg(member.events) filter (where member.speaks) as mean_events,
        coalesce(
            stddev_samp(member.events) filter (where member.speaks) / avg(member.events) filter (where member.speaks), 0
        ) as spread,
        count(*) filter (where member.speaks and member.young) as young,
        count(member.young) filter (where member.speaks) as known_age,
        avg(least(1, coalesce(asked.requests, 0) / member.events)) filter (where member.speaks) as kinded
    from member
    left join asked on member.account_id = asked.account_id
    group by member.kind, member.thing_id
    having count(*) filter (where member.speaks) >= $min_accounts
),

everyone as (
    select
        count(*) as accounts,
        count(*) filter (where young) as young,
        count(young) as known_age
    from active
),

alike as (
    -- Of what is the crowd's own: how many of its customers have it.
    select *
    from crowd_traits(
        (
            select list(struct_pack(kind := member.kind, thing_id := member.thing_id, account_id := member.account_id))
            from member
            inner join crowd on member.kind = crowd.kind and member.thing_id = crowd.thing_id
            where member.speaks
        ),
        $since,
        $until,
        $own_share
    )
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
    left join alike on crowd.kind = alike.kind and crowd.thing_id = alike.thing_id
),

judged as (
    select
        *,
        crowd_log_odds(
            $prior,
            -- Newcomers who try a tool about equally often, through its own client, name nobody, however many they are,
            -- not even with a steadiness on top that comes by chance.
            $explained,
            customers,
            $min_accounts,
            young_share,
            base_young,
            spread,
            mean_events,
            client,
            -- Teachers, audits and judges ask for such things too.
            $asking * kinded,
            apart,
            payment,
            email,
            network
        ) as log_odds
    from facets
),

heard as (
    select
        member.*,
        judged.accounts,
        judged.customers,
        judged.mean_events,
        judged.young_share,
        judged.base_young,
        judged.client,
        judged.payment,
        judged.email,
        judged.network,
        judged.kinded,
        judged.log_odds,
        max(judged.log_odds) over (partition by member.account_id) as best,
        if(
            member.kind = 'fragment',
            'passage of eight words or more',
            if(member.kind = 'template', 'prompt template', 'system prompt')
        ) as what
    from member
    inner join judged on member.kind = judged.kind and member.thing_id = judged.thing_id
    where 1 / (1 + exp(-judged.log_odds)) >= $min_strength
),

spoken as (
    -- A prompt and the fragments of its passages have nearly the same accounts and tell nearly as much. An account
    -- speaks through few of them, always the same: the smallest, not those that happen to tell most just now.
    select *
    from heard
    where log_odds >= best - 0.3
    qualify row_number() over (partition by account_id order by kind desc, thing_id asc) <= $spoken
)

select
    'account' as dimension,
    account_id as entity_id,
    account_id,
    kind || ':' || thing_id as group_key,
    events / (events + 0.1) / (1 + exp(-log_odds)) as strength,
    format(
        '{} of its requests {} one {}, which {} accounts send.',
        if(share = 1, format('All {}', events), format('{} of {}', events, (events / share)::bigint)),
        if(kind = 'fragment', 'contain', 'use'),
        what,
        accounts
    ) as reason,
    format(
        '{} accounts of {} customers send one {}, {:.0f} times each on average.{}{}',
        accounts,
        customers,
        what,
        mean_events,
        if(
            kinded >= 0.1,
            format(
                ' {} of these requests ask for reasoning, grades, rewriting or instructions.',
                if(kinded >= 0.995, 'All', format('At least {:.0f} %', 100 * kinded))
            ),
            ''
        ),
        crowd_story(young_share, $young_days, base_young, client, payment, email, network)
    ) as group_reason,
    first_seen,
    last_seen
from spoken
