-- Whose parameters, taken together, are those of somebody who collects answers, and hardly anybody's with as much use?
with
seen as (
    select
        account_id,
        sum(events)::bigint as events,
        sum(sampled_n) as sampled_n,
        sum(logprobs) as logprobs,
        sum(seeded) as seeded,
        sum(capped) as capped,
        sum(single_turn) as single_turn,
        sum(tool_events) as tool_events,
        sum(input_tokens)::double as input_tokens,
        sum(output_tokens)::double as output_tokens,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen
    from account_hours($since, $until)
    group by account_id
    having sum(events) >= $min_events
),

known as (
    select
        seen.*,
        coalesce(accounts.created_at > $since::timestamptz - to_days($young_days::integer), false) as newcomer
    from seen
    left join accounts on seen.account_id = accounts.account_id
),

habit as (
    -- Not offering tools, and a request that is not part of a conversation, are told by what is there.
    select
        told.account_id,
        told.events,
        told.newcomer,
        told.one.habit,
        told.one.share
    from (
        select
            account_id,
            events,
            newcomer,
            unnest(
                [
                    struct_pack(habit := 'several answers to a request', share := sampled_n / events),
                    struct_pack(habit := 'log probabilities', share := logprobs / events),
                    struct_pack(habit := 'a fixed seed', share := seeded / events),
                    struct_pack(habit := 'answers cut off at max_tokens', share := capped / events),
                    struct_pack(habit := 'no conversation', share := single_turn / events),
                    struct_pack(habit := 'no tools', share := 1 - tool_events / events),
                    struct_pack(
                        habit := 'output among all tokens',
                        share := coalesce(output_tokens / nullif(input_tokens + output_tokens, 0), 0)
                    )
                ]
            ) as one
        from known
    ) as told
),

usual as (
    -- What hardly anybody does is held to be done now and then: else to do it once would say much.
    select
        habit,
        greatest($now_and_then, round(coalesce(avg(share) filter (where not newcomer), 0), 6)) as share
    from habit
    group by habit
),

leaning as (
    -- How many times as often as usual, as a logarithm; a few requests are held to be as usual.
    select
        habit.account_id,
        habit.habit,
        habit.share,
        usual.share as usual_share,
        least(
            $most_each,
            ln((habit.share * habit.events + $prior * usual.share) / (habit.events + $prior) / usual.share)
        ) as leaning
    from habit
    inner join usual on habit.habit = usual.habit
    where habit.share > usual.share
),

profile as (
    select
        account_id,
        round(exp(sum(leaning order by habit)), 6) as times,
        array_to_string(
            list(
                format('{} ({:.0f} %, usual is {:.0f} %)', habit, 100 * share, 100 * usual_share)
                order by leaning desc, habit asc
            )[1:4],
            ', '
        ) as habits
    from leaning
    group by account_id
),

placed as (
    select
        *,
        rarity(far_chance, $noticed, $rare) as rarity
    from
        peers(
            (
                select
                    list(
                        struct_pack(
                            kind := 'account',
                            entity_id := known.account_id,
                            events := known.events,
                            value := coalesce(profile.times, 1),
                            newcomer := known.newcomer
                        )
                    )
                from known
                left join profile on known.account_id = profile.account_id
            ),
            $min_peers
        )
)

select
    'account' as dimension,
    known.account_id as entity_id,
    known.account_id,
    'account:' || known.account_id as group_key,
    $cap * placed.rarity as strength,
    format(
        'Its parameters are those of somebody who collects answers, above all: {}. Together that is {:.0f} times the '
        || 'usual, more {}.',
        profile.habits,
        profile.times,
        peers_story(placed.as_high, placed.others, placed.least_events, placed.most_events, 'accounts')
    ) as reason,
    known.first_seen,
    known.last_seen
from placed
inner join known on placed.entity_id = known.account_id
inner join profile on placed.entity_id = profile.account_id
where
    placed.rarity > 0
    and profile.times >= $min_times
