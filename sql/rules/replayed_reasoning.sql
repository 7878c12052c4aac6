-- Which accounts send opaque reasoning blocks that were made in conversations of other customers?
with
sent as (
    select
        target_id as block,
        source_id as account_id,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from links
    where
        hour >= date_trunc('hour', $since::timestamptz)
        and hour < $until::timestamptz
        and source_kind = 'account'
        and target_kind = 'reasoning_blob'
    group by target_id, source_id
),

repeated as (
    -- Nearly every block stays with one account.
    select *
    from sent
    qualify count(*) over (partition by block) > 1
),

holder as (
    select distinct account_id
    from repeated
),

paid as (
    -- Whoever openly belongs together is one customer: one organisation, or one payment for a whole mail domain.
    select
        email_domain,
        min(payment_hash) = max(payment_hash) as by_one
    from accounts
    where email_domain is not null and payment_hash is not null
    group by email_domain
),

belongs as (
    select
        holder.account_id,
        accounts.organisation is not null or accounts.payment_hash is not null or accounts.email_domain is not null
            as known,
        coalesce(
            accounts.organisation,
            if(accounts.payment_hash is not null and paid.by_one, 'domain:' || accounts.email_domain, null),
            'account:' || holder.account_id
        ) as customer
    from holder
    left join accounts on holder.account_id = accounts.account_id
    left join paid on accounts.email_domain = paid.email_domain
),

held as (
    select
        repeated.*,
        belongs.customer,
        coalesce(belongs.known, false) as known
    from repeated
    inner join belongs on repeated.account_id = belongs.account_id
),

shared as (
    select
        block,
        count(*) as accounts,
        count(distinct customer) as customers,
        count(distinct customer) filter (where known) as known_customers,
        list(distinct customer) as holders,
        arg_min(customer, (first_seen, account_id)) as origin
    from held
    group by block
    having count(distinct customer) > 1
),

replay as (
    select
        held.*,
        shared.accounts,
        shared.customers,
        shared.holders,
        held.customer <> shared.origin as from_others,
        held.known and shared.known_customers > 1 as told_apart,
        -- A block that very many send stands in a manual or a published data set. Whose block it was may have lost it.
        sqrt(2 / shared.customers) * if(held.customer = shared.origin, $own_weight, 1) as weight
    from held
    inner join shared on held.block = shared.block
),

account as (
    select
        account_id,
        count(*) filter (where from_others) as replayed,
        count(*) filter (where not from_others) as lost,
        len(list_distinct(flatten(list(holders)))) - 1 as others,
        sum(weight) as weight,
        coalesce(sum(weight) filter (where told_apart), 0) as told_apart,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from replay
    group by account_id
),

judged as (
    select
        *,
        -- Two who work together hand conversations to and fro; a pool does so among many.
        least(1, (others + 1) / ($pool + 1)) * greatest(
            $cap * (1 - exp(-told_apart)),
            -- Without facts nobody knows that two accounts are not one customer's.
            $cap_unknown * (1 - exp(-weight))
        ) as strength
    from account
),

spoken as (
    -- An account speaks through the few blocks that most others have.
    select *
    from replay
    qualify row_number() over (partition by account_id order by customers desc, block asc) <= $blocks
)

select
    'account' as dimension,
    spoken.account_id as entity_id,
    spoken.account_id,
    'reasoning_blob:' || spoken.block as group_key,
    judged.strength,
    concat_ws(
        ' ',
        if(
            judged.replayed > 0,
            format(
                '{} of the opaque reasoning blocks that it sent had been sent by other customers before.',
                judged.replayed
            ),
            null
        ),
        if(
            judged.lost > 0,
            format('{} of its own reasoning blocks were sent by other customers later.', judged.lost),
            null
        ),
        format('{} customers have blocks in common with it.', judged.others)
    ) as reason,
    format(
        '{} accounts of {} customers sent one opaque reasoning block: it is made in one conversation, for that alone.',
        spoken.accounts,
        spoken.customers
    ) as group_reason,
    judged.first_seen,
    judged.last_seen
from spoken
inner join judged on spoken.account_id = judged.account_id
where judged.strength >= $min_strength
