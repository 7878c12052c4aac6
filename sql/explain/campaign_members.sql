-- The members of a campaign, each with what joins it; and those that a person took out by clearing them.
with
keys as (
    select group_key
    from campaign_keys
    where campaign_id = $campaign
),

joined as (
    select
        signals.account_id,
        list(distinct signals.group_key order by signals.group_key) as group_keys
    from signals
    inner join keys on signals.group_key = keys.group_key
    group by signals.account_id
)

select
    joined.account_id,
    campaign_members.probability,
    coalesce(findings.named, false) as named,
    findings.cleared_reason,
    coalesce(campaign_members.first_seen, findings.first_seen) as first_seen,
    coalesce(campaign_members.last_seen, findings.last_seen) as last_seen,
    campaign_members.joined_at,
    coalesce(campaign_members.shared, []) as shared,
    joined.group_keys
from joined
left join campaign_members
    on joined.account_id = campaign_members.account_id and campaign_members.campaign_id = $campaign
left join findings on joined.account_id = findings.entity_id and findings.dimension = 'account'
where campaign_members.account_id is not null or findings.cleared_reason is not null
order by named desc, campaign_members.probability desc nulls last, joined.account_id asc;
