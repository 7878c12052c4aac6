-- Which accounts took over where others stopped.
create table campaign_succession (
    campaign_id varchar not null,
    succeeds varchar not null,
    stopped_at timestamptz not null,
    began_at timestamptz not null,
    accounts_before bigint not null,
    accounts_after bigint not null,
    strength double not null,
    evidence varchar[] not null
);
