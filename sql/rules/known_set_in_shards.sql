-- Which customers each send another part of one known set, with less overlap than they would have by chance?
with
seen as (
    select *
    from corpus_sightings($since, $until)
),

active as (
    select
        account_id,
        customer,
        created_at is not null
        and (payment_hash is not null or email_domain is not null or not starts_with(customer, 'account:')) as known
    from active_accounts($since, $until)
),

held as (
    select
        seen.corpus,
        seen.item,
        active.customer,
        max(1 / seen.kept_share) as stands_for,
        bool_or(seen.by_fragment) as by_fragment
    from seen
    inner join active on seen.account_id = active.account_id
    group by seen.corpus, seen.item, active.customer
),

part as (
    -- Whoever has most of a set has no part of it.
    select
        held.corpus,
        held.customer,
        any_value(corpora.findable) as findable,
        count(*) as items,
        round(
            least(
                any_value(corpora.findable),
                greatest(count(*), coalesce(sum(held.stands_for) filter (where held.by_fragment), 0))
            ),
            3
        ) as estimated
    from held
    inner join corpora on held.corpus = corpora.corpus
    group by held.corpus, held.customer
    having estimated <= $max_part * any_value(corpora.findable)
),

candidate as (
    -- A handful that many try by chance would hide who has larger parts: each size is looked at without smaller ones.
    select
        part.*,
        level.size
    from part
    cross join (select unnest(list_transform(range(8), lambda i: $min_items * 2 ** i)) as size) as level
    where part.items >= level.size
),

sender as (
    select
        candidate.corpus,
        candidate.size,
        held.item,
        count(*) as customers
    from candidate
    inner join held on candidate.corpus = held.corpus and candidate.customer = held.customer
    group by candidate.corpus, candidate.size, held.item
),

met as (
    select
        candidate.corpus,
        candidate.size,
        candidate.customer,
        any_value(candidate.items) as items,
        any_value(candidate.estimated) as estimated,
        any_value(candidate.findable) as findable,
        sum(sender.customers - 1) as meetings
    from candidate
    inner join held on candidate.corpus = held.corpus and candidate.customer = held.customer
    inner join sender
        on candidate.corpus = sender.corpus and candidate.size = sender.size and held.item = sender.item
    group by candidate.corpus, candidate.size, candidate.customer
),

apart as (
    -- Those who send what others send, far more than by chance (the first hundred, the popular ones), are no shards.
    select *
    from (
        select
            *,
            count(*) over (partition by corpus, size) as all_customers,
            items * (sum(items) over (partition by corpus, size) - items) / findable as expected
        from met
    ) as against
    where meetings <= expected + 3 * sqrt(expected + 1)
),

left_over as (
    select
        apart.corpus,
        apart.size,
        held.item,
        count(*) as customers
    from apart
    inner join held on apart.corpus = held.corpus and apart.customer = held.customer
    group by apart.corpus, apart.size, held.item
),

united as (
    select
        corpus,
        size,
        count(*) as items,
        sum(customers * (customers - 1))::bigint // 2 as meetings
    from left_over
    group by corpus, size
),

summed as (
    select
        apart.corpus,
        apart.size,
        any_value(apart.findable) as findable,
        any_value(apart.all_customers) as all_customers,
        count(*) as customers,
        sum(apart.items) as items,
        sum(apart.items * apart.items) as items_sq,
        round(sum(apart.estimated), 3) as estimated
    from apart
    group by apart.corpus, apart.size
    having count(*) >= $min_customers
),

crowd as (
    select
        summed.*,
        united.items as different,
        united.meetings,
        (summed.items * summed.items - summed.items_sq) / (2 * summed.findable) as expected,
        least(1, summed.estimated / summed.findable * united.items / summed.items) as together
    from summed
    inner join united on summed.corpus = united.corpus and summed.size = united.size
),

surprising as (
    -- Chernoff's bound of so few meetings where so many are expected: single items, or, since whole stretches may be
    -- sent in order, pairs of stretches that begin anywhere. The smaller counts. Whom we set aside speaks against it.
    select
        *,
        least(expected, (customers - 1) * estimated / findable)
        * (1 - meetings / expected + if(meetings = 0, 0, meetings / expected * ln(meetings / expected)))
        * customers / all_customers as surprise
    from crowd
    where meetings < expected
),

told as (
    select
        *,
        -- Where a pool has a share of the items, and others choose for themselves, the square of that share is missing.
        (1 - exp(-surprise / $scale)) * least(1, together / $enough) * sqrt(1 - meetings / expected) as weight
    from surprising
    where together >= $min_together
),

own as (
    select
        apart.corpus,
        apart.size,
        apart.customer,
        sum(left_over.customers - 1) as meetings
    from apart
    inner join held on apart.corpus = held.corpus and apart.customer = held.customer
    inner join left_over
        on apart.corpus = left_over.corpus and apart.size = left_over.size and held.item = left_over.item
    group by apart.corpus, apart.size, apart.customer
),

judged as (
    select
        told.*,
        apart.customer,
        apart.items as own_items,
        own.meetings as own_meetings,
        apart.items * (told.items - apart.items) / told.findable as own_expected,
        -- Who could have met the others often and did not.
        told.weight * greatest(0, 1 - own_meetings / own_expected) * (1 - exp(-own_expected / 2)) as share
    from told
    inner join apart on told.corpus = apart.corpus and told.size = apart.size
    inner join own on apart.corpus = own.corpus and apart.size = own.size and apart.customer = own.customer
    qualify row_number() over (partition by told.corpus, apart.customer order by share desc, told.size asc) = 1
),

spoken as (
    select
        judged.*,
        active.account_id,
        if(active.known, $cap, $cap_unknown) * judged.share as strength,
        count(*) as account_items,
        min(seen.first_seen) as first_seen,
        max(seen.last_seen) as last_seen
    from judged
    inner join active on judged.customer = active.customer
    inner join seen on active.account_id = seen.account_id and judged.corpus = seen.corpus
    group by all
)

select
    'account' as dimension,
    account_id as entity_id,
    account_id,
    'corpus:' || corpus as group_key,
    strength,
    format(
        'It sent {} of the {} items of the known set {}. Other customers with a part of it sent items of its part {} '
        || 'times; had each chosen for itself, it would be {:.1f} times.',
        account_items,
        findable,
        corpus,
        own_meetings,
        own_expected
    ) as reason,
    format(
        '{} customers sent {} different items of the known set {}, together about {:.0f} % of it. Two of them sent the '
        || 'same item {} times; had each chosen for itself, it would be {:.0f} times.',
        customers,
        different,
        corpus,
        100 * together,
        meetings,
        expected
    ) as group_reason,
    first_seen,
    last_seen
from spoken
where strength >= $min_strength
