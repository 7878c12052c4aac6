-- What became of a campaign that is no more by itself: the one that goes on, over all mergers.
with recursive
followed as (
    select
        campaign_id,
        merged_into,
        1 as steps
    from merged_campaigns
    where campaign_id = $campaign
    union all
    select
        followed.campaign_id,
        merged_campaigns.merged_into,
        followed.steps + 1 as steps
    from followed
    inner join merged_campaigns on followed.merged_into = merged_campaigns.campaign_id
    where followed.steps < 100
)

select merged_into
from followed
order by steps desc
limit 1;
