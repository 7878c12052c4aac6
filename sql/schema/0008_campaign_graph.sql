-- The graph that campaigns are found on: which account shares which thing, and what each campaign shares.

-- A row an account and group_key, from the account's last seven days with signals.
create table thing_holder (
    account_id varchar not null,
    group_key varchar not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null
);

insert into thing_holder
select
    account_id,
    group_key,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen
from (
    select
        *,
        window_end > max(window_end) over (partition by account_id) - interval 7 days as recent
    from signal
) as dated
where group_key not like 'account:%'
group by account_id, group_key
having bool_or(recent);

-- What the named accounts of a campaign share, and what it is worth to have it and to have nothing of its kind.
create table campaign_thing (
    campaign_id varchar not null,
    thing varchar not null,
    kind varchar not null,
    joins boolean not null,
    named_accounts bigint not null,
    unrelated double not null,
    everyone bigint not null,
    weight double not null,
    weight_missing double not null
);

-- A key that joins a campaign no longer is kept, so that the campaign is known by it when it comes back.
alter table campaign_key add column current boolean default 'true';

alter table campaign add column prior_odds double;
alter table campaign_member add column shared varchar[];

-- How many accounts used a thing, of how many that sent anything, on the last day of its evidence and the one before.
create table thing_population (
    group_key varchar not null,
    day timestamptz not null,
    holders bigint not null,
    accounts bigint not null
);
