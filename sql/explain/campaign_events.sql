-- What looks saw change in a campaign, in order.
select
    change,
    event_until,
    recorded_at,
    accounts,
    named_accounts,
    other_campaign
from campaign_events
where campaign_id = $campaign
order by seq;
