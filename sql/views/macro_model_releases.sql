-- Models released between two moments: from model_releases(begin, end, known_days, fewest). Columns: model,
-- released_at, declared. What somebody said (view releases) counts. Of a model that nobody declared its first request
-- does, by whole hours, where requests of the known_days before begin are there (else everything would be new), none
-- was for it, and fewest customers or more use it: a model that one customer had made for himself is no release.
create or replace macro model_releases(window_begin, window_end, known_days, fewest) as table
    with
    first_used as (
        select
            used.target_id as model,
            min(used.first_seen) as released_at,
            count(distinct active.customer) as customers
        from link_rows(window_begin, window_end) as used
        inner join active_accounts(window_begin, window_end) as active on used.source_id = active.account_id
        where used.target_kind = 'model' and used.target_id not in (select releases.model from releases)
        group by used.target_id
    ),

    before as (
        select
            target_id as model,
            min(first_seen) as first_seen
        from (
            select
                target_id,
                first_seen
            from link_day
            where
                source_kind = 'account'
                and target_kind = 'model'
                and day >= window_begin::timestamptz - to_days(known_days::integer + 2)
                and day < window_begin::timestamptz
            union all
            select
                target_id,
                first_seen
            from link_delta
            where
                source_kind = 'account'
                and target_kind = 'model'
                and hour >= window_begin::timestamptz - to_days(known_days::integer + 2)
                and hour < window_begin::timestamptz
        ) as rows_of_both
        where first_seen < date_trunc('hour', window_begin::timestamptz)
        group by target_id
    )

    select
        model,
        released_at,
        true as declared
    from releases
    where released_at >= window_begin::timestamptz and released_at < window_end::timestamptz
    union all
    select
        model,
        released_at,
        false as declared
    from first_used
    where
        customers >= fewest
        and model not in (select before.model from before)
        and (select min(before.first_seen) from before)
        <= window_begin::timestamptz - to_days(known_days::integer);
