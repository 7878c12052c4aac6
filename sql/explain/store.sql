-- How far the store has come, and how much is in it.
select
    (select min(watermark) from pipeline_health) as watermark,
    (select count(*) from accounts) as accounts,
    (select coalesce(sum(events), 0)::bigint from accounts) as events,
    (
        select count(*) from accounts
        where created_at is not null
    ) as accounts_with_age,
    (select coalesce(sum(holes), 0)::bigint from pipeline_health) as holes;
