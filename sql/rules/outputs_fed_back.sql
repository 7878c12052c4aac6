-- Which accounts send to the model what it had answered to other customers, to have it graded, cleaned or judged?
with
loop as (
    select *
    from output_loops($since, $until)
),

active as (
    select
        active.account_id,
        active.events,
        active.customer,
        coalesce(accounts.organisation, accounts.payment_hash, accounts.email_domain) is not null as known
    from active_accounts($since, $until) as active
    left join accounts on active.account_id = accounts.account_id
),

fed as (
    select
        loop.to_account as account_id,
        loop.from_account,
        receiver.events,
        receiver.customer,
        sender.customer as from_customer,
        receiver.customer <> sender.customer as between_customers,
        receiver.known and sender.known as told_apart,
        loop.outputs,
        -- What very many send is published. A pool hands each answer to one of its accounts, or to a few judges.
        loop.outputs / loop.audience as weight,
        loop.median_delay_s,
        loop.first_seen,
        loop.last_seen
    from loop
    inner join active as receiver on loop.to_account = receiver.account_id
    inner join active as sender on loop.from_account = sender.account_id
),

account as (
    select
        account_id,
        any_value(events) as events,
        any_value(customer) as customer,
        coalesce(sum(outputs) filter (where between_customers), 0) as of_others,
        coalesce(sum(outputs) filter (where not between_customers), 0) as of_own,
        count(distinct from_customer) filter (where between_customers) as others,
        coalesce(sum(weight) filter (where between_customers), 0) as weight,
        coalesce(sum(weight) filter (where between_customers and told_apart), 0) as told_apart,
        median(median_delay_s) as delay_s,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from fed
    group by account_id
),

judged as (
    select
        *,
        greatest(
            -- Two who work together hand texts to and fro; a pool does so among many.
            least(1, (others + 1) / ($pool + 1))
            -- Behind a gateway very many people paste what they read, among all that they ask.
            * least(1, weight / ($share * events))
            * greatest(
                $cap * (1 - exp(-told_apart / $scale)),
                -- Without facts nobody knows that two accounts are not one customer's.
                $cap_unknown * (1 - exp(-weight / $scale))
            ),
            -- Steps of one application: outline, then article; translation, then check.
            $cap_own * least(1, of_own / ($own_share * events)) * (1 - exp(-of_own / ($own_scale * $scale)))
        ) as strength
    from account
),

source as (
    -- An account speaks through those whose answers most others sent, too; of its own ones it speaks alone.
    select
        fed.*,
        count(*) over (partition by fed.from_account) as receivers
    from fed
    where fed.between_customers
),

spoken as (
    select
        account_id,
        'outputs_of:' || from_account as group_key,
        receivers
    from source
    qualify
        row_number() over (partition by account_id order by receivers desc, outputs desc, from_account asc) <= $sources
    union all
    select
        account_id,
        'account:' || account_id as group_key,
        1 as receivers
    from account
    where others = 0
)

select
    'account' as dimension,
    judged.account_id as entity_id,
    judged.account_id,
    spoken.group_key,
    judged.strength,
    concat_ws(
        ' ',
        if(
            judged.of_others > 0,
            format(
                'Of what the model had answered to {}, {} came back in its requests.',
                if(judged.others = 1, 'another customer', format('{} other customers', judged.others)),
                if(judged.of_others = 1, 'one answer', format('{} answers', judged.of_others))
            ),
            null
        ),
        if(
            judged.of_own > 0,
            format(
                'Of what the model had answered to its own customer, {} came back.',
                if(judged.of_own = 1, 'one answer', format('{} answers', judged.of_own))
            ),
            null
        ),
        format(
            'It sent {}; about one passage of answers in 256 is looked at, so there may be more.',
            if(judged.events = 1, 'one request', format('{} requests', judged.events))
        )
    ) as reason,
    if(
        starts_with(spoken.group_key, 'outputs_of:'),
        format('{} accounts sent to the model what it had answered to one other customer.', spoken.receivers),
        null
    ) as group_reason,
    judged.first_seen,
    judged.last_seen
from judged
inner join spoken on judged.account_id = spoken.account_id
where judged.strength >= $min_strength
