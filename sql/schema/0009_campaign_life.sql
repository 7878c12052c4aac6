-- What became of campaigns: how far their members' traffic reaches, and what each look saw change.

alter table campaign add column last_request timestamptz;
alter table campaign add column ended_at timestamptz;

create table campaign_event (
    seq bigint not null,
    campaign_id varchar not null,
    change varchar not null,
    event_until timestamptz not null,
    recorded_at timestamptz not null,
    accounts bigint not null,
    named_accounts bigint not null,
    other_campaign varchar
);

-- What was there before looks were recorded was born when it was first found.
insert into campaign_event
select
    row_number() over (order by created_at, campaign_id) as seq,
    campaign_id,
    'born' as change,
    first_seen as event_until,
    created_at as recorded_at,
    accounts,
    named_accounts,
    null as other_campaign
from campaign
where merged_into is null;
