-- Every stored signal against one account, strongest first; counts: it is the one of its kind that the score takes.
with
of_account as (
    select
        *,
        -- As in scores: what is unscored moves no span of seven days, unless there is nothing else.
        window_end > coalesce(
            max(window_end) filter (where evidence <> 'unscored') over (), max(window_end) over ()
        ) - interval 7 days as recent
    from signals
    where account_id = $account
)

select
    rule_id,
    evidence,
    dimension,
    entity_id,
    group_key,
    strength,
    reason,
    group_reason,
    window_start,
    window_end,
    first_seen,
    last_seen,
    recent,
    recent
    and evidence <> 'unscored'
    and row_number() over (
        partition by recent, evidence
        order by strength desc, window_end desc, rule_id asc, group_key asc
    ) = 1 as counts
from of_account
order by counts desc, strength desc, window_end desc, rule_id asc, group_key asc;
