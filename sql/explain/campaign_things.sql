-- What the named accounts of a campaign share, and what each thing is worth, the weightiest of each kind first.
select
    thing,
    kind,
    joins,
    named_accounts,
    unrelated,
    everyone,
    weight,
    weight_missing
from campaign_things
where campaign_id = $campaign
order by max(weight) over (partition by kind) desc, kind asc, weight desc, thing asc;
