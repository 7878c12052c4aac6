-- Which accounts send one prompt, or a passage of it, and are alike in ways that unrelated customers are not?
with
member as (
    select
        kind,
        thing_id,
        account_id,
        events,
        first_seen,
        last_seen,
        events / requests as share
    -- A gateway or a person may say it once by chance; who distils in a tenth of his traffic says it often.
    from often_said($since, $until, least($min_share, $min_share_passage), 0.5)
    where events >= if(kind = 'fragment', $min_share_passage, $min_share) * requests
    qualify count(*) over (partition by kind, thing_id) >= $min_accounts
),

asked as (
    -- How many of an account's requests ask for reasoning, grades, rewriting or new instructions, whatever the prompt.
    select
        account_id,
        sum(requests) as requests
    from asked_kinds($since, $until)
    where request_kind not in ('ordinary', 'benchmark_item')
    group by account_id
),

crowd as (
    select *
    from crowds(
        (
            select
                list(
                    struct_pack(
                        kind := member.kind,
                        thing_id := member.thing_id,
                        account_id := member.account_id,
                        events := member.events,
                        asking := least(1, coalesce(asked.requests, 0) / member.events)
                    )
                )
            from member
            left join asked on member.account_id = asked.account_id
        ),
        $since,
        $until,
        $young_days,
        $own_share,
        $min_accounts
    )
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
            $asking * asking,
            apart,
            payment,
            email,
            network
        ) as log_odds
    from crowd
),

told as (
    -- What is said of a crowd, once for all that are in it.
    select
        kind,
        thing_id,
        accounts,
        log_odds,
        if(
            kind = 'fragment',
            'passage of eight words or more',
            if(kind = 'template', 'prompt template', 'system prompt')
        ) as what,
        format(
            '{} accounts of {} customers send one {}, {:.0f} times each on average.{}{}',
            accounts,
            customers,
            what,
            mean_events,
            if(
                asking >= 0.1,
                format(
                    ' {} of these requests ask for reasoning, grades, rewriting or instructions.',
                    if(asking >= 0.995, 'All', format('At least {:.0f} %', 100 * asking))
                ),
                ''
            ),
            crowd_story(young_share, $young_days, base_young, client, payment, email, network)
        ) as group_reason
    from judged
    where 1 / (1 + exp(-log_odds)) >= $min_strength
),

heard as (
    select
        member.*,
        told.accounts,
        told.log_odds
    from member
    inner join told on member.kind = told.kind and member.thing_id = told.thing_id
),

carried as (
    -- What a pool works on has phrases that others use too. Of a crowd nearly all of whom mainly say something else,
    -- the few who never say that are not of it.
    select
        said.kind,
        said.thing_id,
        mainly.kind as main_kind,
        mainly.thing_id as main_id
    from heard as said
    inner join heard as mainly
        on
            said.account_id = mainly.account_id
            and (said.kind <> mainly.kind or said.thing_id <> mainly.thing_id)
    group by said.kind, said.thing_id, mainly.kind, mainly.thing_id
    having
        count(*) >= $carried * any_value(said.accounts)
        and any_value(said.accounts) - count(*) < $min_accounts
        and sum(mainly.events) >= $mainly * sum(said.events)
),

aside as (
    select
        heard.kind,
        heard.thing_id,
        heard.account_id
    from heard
    inner join carried on heard.kind = carried.kind and heard.thing_id = carried.thing_id
    left join heard as own
        on
            heard.account_id = own.account_id
            and carried.main_kind = own.kind
            and carried.main_id = own.thing_id
    group by heard.kind, heard.thing_id, heard.account_id
    having count(own.account_id) = 0
),

spoken as (
    -- A prompt and the fragments of its passages have nearly the same accounts and tell nearly as much. An account
    -- speaks through few of them, always the same: the smallest, not those that happen to tell most just now.
    select *
    from (
        select
            *,
            max(log_odds) over (partition by account_id) as best
        from heard
        where (kind, thing_id, account_id) not in (select (kind, thing_id, account_id) from aside)
    ) as left_over
    where log_odds >= best - 0.3
    qualify row_number() over (partition by account_id order by kind desc, thing_id asc) <= $spoken
)

select
    'account' as dimension,
    spoken.account_id as entity_id,
    spoken.account_id,
    spoken.kind || ':' || spoken.thing_id as group_key,
    spoken.events / (spoken.events + 0.1) / (1 + exp(-spoken.log_odds)) as strength,
    format(
        '{} of its requests {} one {}, which {} accounts send.',
        if(
            spoken.share = 1,
            format('All {}', spoken.events),
            format('{} of {}', spoken.events, (spoken.events / spoken.share)::bigint)
        ),
        if(spoken.kind = 'fragment', 'contain', 'use'),
        told.what,
        spoken.accounts
    ) as reason,
    told.group_reason,
    spoken.first_seen,
    spoken.last_seen
from spoken
inner join told on spoken.kind = told.kind and spoken.thing_id = told.thing_id
