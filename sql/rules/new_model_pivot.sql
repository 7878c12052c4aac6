-- Who moves most of what he asks to a new model within a day of its release, where others hardly do?
with
release as (
    select
        model,
        released_at,
        declared,
        date_trunc('hour', released_at) as begins,
        date_trunc('hour', released_at) + interval 24 hours as ends
    from model_releases($since, $until, $known_days, $min_customers)
    -- What was asked before must be known for a while.
    where released_at >= $since::timestamptz + to_hours($hours_before::integer)
),

active as (
    select
        account_id,
        customer,
        payment_hash,
        email_domain
    from active_accounts($since, $until)
),

used as (
    select
        source_id as account_id,
        target_id as model,
        hour,
        sum(events) as events,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from link_rows($since, $until)
    where target_kind = 'model'
    group by source_id, target_id, hour
),

looked_at as (
    -- Releases to which somebody turned at all; a handful, whatever was declared.
    select
        release.*,
        least(
            24, greatest(1, date_diff('hour', any_value(release.begins), date_trunc('hour', $until::timestamptz)))
        ) as hours_after
    from release
    inner join used on release.model = used.model
    where used.hour >= release.begins and used.hour < release.ends
    group by all
    order by sum(used.events) desc, release.model asc
    limit 20
),

side as (
    -- What each account asked on either side, by model and hour.
    select
        looked_at.model as new_model,
        used.account_id,
        used.model,
        used.hour,
        used.events,
        used.first_seen,
        used.last_seen,
        used.hour >= looked_at.begins as is_after,
        used.model = looked_at.model as moved
    from looked_at
    inner join used on looked_at.ends > used.hour
),

both_sides as (
    select
        side.new_model,
        side.account_id,
        any_value(active.customer) as customer,
        sum(side.events) filter (where not side.is_after) as before,
        min(side.hour) filter (where not side.is_after) as first_hour,
        sum(side.events) filter (where side.is_after) as after,
        coalesce(sum(side.events) filter (where side.is_after and side.moved), 0) as moved,
        min(side.first_seen) filter (where side.is_after and side.moved) as first_seen,
        max(side.last_seen) filter (where side.is_after and side.moved) as last_seen
    from side
    inner join active on side.account_id = active.account_id
    group by side.new_model, side.account_id
    having
        sum(side.events) filter (where not side.is_after) >= $min_compared
        and sum(side.events) filter (where side.is_after) >= $min_compared
        -- Who used it before its release is no measure of what others do.
        and count(*) filter (where side.moved and not side.is_after) = 0
),

main_model as (
    -- An alias that moves, or a model that is withdrawn, takes along who used the same one.
    select
        side.new_model,
        side.account_id,
        side.model as old_model
    from side
    inner join both_sides on side.new_model = both_sides.new_model and side.account_id = both_sides.account_id
    where not side.is_after
    group by side.new_model, side.account_id, side.model
    qualify
        row_number() over (
            partition by side.new_model, side.account_id
            order by sum(side.events) desc, side.model asc
        ) = 1
),

in_hour as (
    select
        side.new_model,
        side.account_id,
        side.hour,
        sum(side.events) as events,
        coalesce(sum(side.events) filter (where side.moved), 0) as moved
    from side
    inner join both_sides on side.new_model = both_sides.new_model and side.account_id = both_sides.account_id
    where side.is_after
    group by side.new_model, side.account_id, side.hour
),

usual as (
    -- Of those who did not turn themselves, the mean over accounts: nobody is the measure because he sends much.
    select
        in_hour.new_model,
        in_hour.hour,
        avg(in_hour.moved / in_hour.events) as share
    from in_hour
    inner join both_sides on in_hour.new_model = both_sides.new_model and in_hour.account_id = both_sides.account_id
    where both_sides.moved < $min_share * both_sides.after
    group by in_hour.new_model, in_hour.hour
),

expected as (
    select
        in_hour.new_model,
        in_hour.account_id,
        coalesce(
            greatest(
                0.02,
                round(sum(in_hour.events * usual.share) / sum(in_hour.events) filter (where usual.share >= 0), 6)
            ),
            0.02
        ) as share
    from in_hour
    left join usual on in_hour.new_model = usual.new_model and in_hour.hour = usual.hour
    group by in_hour.new_model, in_hour.account_id
),

compared as (
    select
        both_sides.*,
        main_model.old_model,
        looked_at.released_at,
        looked_at.declared,
        expected.share as expected,
        both_sides.moved / both_sides.after as share,
        -- Who tries the new model beside what he does anyhow has not moved: of that this share went on, by the hour.
        (both_sides.after - both_sides.moved) / looked_at.hours_after
        / (both_sides.before / greatest(1, date_diff('hour', both_sides.first_hour, looked_at.begins))) as kept
    from both_sides
    inner join looked_at on both_sides.new_model = looked_at.model
    inner join main_model
        on both_sides.new_model = main_model.new_model and both_sides.account_id = main_model.account_id
    inner join expected on both_sides.new_model = expected.new_model and both_sides.account_id = expected.account_id
),

common as (
    select
        new_model,
        coalesce(old_model, '') as old_model,
        old_model is null as all_of_them,
        count(distinct customer) as customers,
        count(distinct customer) filter (where share >= $min_share) as turned
    from compared
    group by grouping sets ((new_model), (new_model, old_model))
),

turned as (
    -- Requests that each choose as others' do would move as many with a chance of e^-surprise at most (Chernoff).
    select
        compared.*,
        everyone.customers as all_customers,
        everyone.turned as all_turned,
        alike.customers as alike_customers,
        alike.turned as alike_turned,
        compared.after * (
            compared.share * ln(compared.share / compared.expected)
            + if(compared.share < 1, (1 - compared.share) * ln((1 - compared.share) / (1 - compared.expected)), 0)
        ) as surprise,
        -- The larger the share of others who turned, the less it says.
        greatest(
            everyone.turned / everyone.customers / $common_share, alike.turned / alike.customers / $common_share_alike
        ) as explained
    from compared
    inner join common as everyone on compared.new_model = everyone.new_model and everyone.all_of_them
    inner join common as alike
        on
            compared.new_model = alike.new_model
            and compared.old_model = alike.old_model
            and not alike.all_of_them
    where
        compared.before >= $min_requests
        and compared.after >= $min_requests
        and compared.share >= $min_share
        and compared.share > compared.expected
        and compared.kept <= $max_kept
        -- What few do who used the same model is not known.
        and alike.customers >= $min_customers
),

fact as (
    select
        account_id,
        customer,
        unnest(['payment', 'email domain']) as kind,
        unnest([payment_hash, email_domain]) as id
    from active
),

together as (
    -- Customers who pay or register together, and turned together though hardly anybody did. The largest place of each
    -- kind may be a company, and does not count.
    select
        turned.new_model,
        fact.kind,
        fact.id,
        count(distinct turned.customer) as customers
    from fact
    inner join turned on fact.account_id = turned.account_id
    where fact.id is not null
    group by turned.new_model, fact.kind, fact.id
),

holder as (
    select
        kind,
        id,
        count(distinct customer) as customers
    from fact
    where id is not null
    group by kind, id
),

own as (
    select together.*
    from together
    inner join holder on together.kind = holder.kind and together.id = holder.id
    where together.customers >= 3 and together.customers >= $own_share * holder.customers
    qualify
        row_number() over (
            partition by together.new_model, together.kind
            order by together.customers desc, together.id asc
        ) > 1
),

linked as (
    select
        own.new_model,
        fact.account_id,
        max(own.customers) as customers
    from own
    inner join fact on own.kind = fact.kind and own.id = fact.id
    group by own.new_model, fact.account_id
),

judged as (
    select
        turned.*,
        linked.customers as together,
        -- What the luckiest of as many would show counts for nothing.
        (1 - exp(-(turned.surprise - ln(turned.all_customers)) / $scale))
        * greatest(0, 1 - turned.explained)
        * if(linked.customers is null, $cap, $cap_together) as strength
    from turned
    left join linked on turned.new_model = linked.new_model and turned.account_id = linked.account_id
)

select
    'model' as dimension,
    new_model as entity_id,
    account_id,
    'account:' || account_id as group_key,
    strength,
    format(
        '{} of its {} requests within a day of the release of {} went to it ({}); whoever did not turn sent {:.0f} % '
        || 'there at the same hours. Before, it mostly asked {}. {} of {} comparable customers turned as much.{}',
        moved,
        after,
        new_model,
        if(declared, 'declared', 'first seen') || strftime(timezone('UTC', released_at), ' %Y-%m-%d %H:%M UTC'),
        100 * expected,
        old_model,
        all_turned,
        all_customers,
        if(
            together is null,
            '',
            format(
                ' {} customers who pay or register together, and with hardly anybody else, turned in the same hours.',
                together
            )
        )
    ) as reason,
    first_seen,
    last_seen
from judged
where strength >= $min_strength
