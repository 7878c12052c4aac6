-- Estimate of a quantile of a feature with values (1 to 3): linear within the bucket; null where nothing was counted.
create or replace macro tally_quantile(tally, feature, q) as (
    with entry as (
        select unnest(tally_counts(tally, feature), recursive := true)
    ),

    ranked as (
        select
            bucket,
            count,
            sum(count) over (order by bucket) as upto,
            q * sum(count) over () as wanted
        from entry
    )

    select
        case
            when bucket = 0 then 0 else
                2 ** (bucket::integer - 1) * (1 + greatest(0, wanted - upto + count) / count)
        end
    from ranked
    where upto >= wanted
    order by bucket
    limit 1
);
