-- What each rule says about the members of a campaign under each of its things: the sentence of its strongest signal.
select
    signals.rule_id,
    signals.evidence,
    signals.group_key,
    count(distinct signals.account_id) as accounts,
    min(signals.strength) as weakest,
    max(signals.strength) as strongest,
    arg_max(coalesce(signals.group_reason, signals.reason), { 's': signals.strength, 'a': signals.account_id })
        as reason,
    min(signals.window_start) as window_start,
    max(signals.window_end) as window_end
from signals
inner join campaign_keys on signals.group_key = campaign_keys.group_key
inner join campaign_members
    on signals.account_id = campaign_members.account_id and campaign_keys.campaign_id = campaign_members.campaign_id
where campaign_keys.campaign_id = $campaign
group by signals.rule_id, signals.evidence, signals.group_key
order by strongest desc, signals.rule_id asc, signals.group_key asc;
