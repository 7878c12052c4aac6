-- How much of each known set an account sent between two moments, by whole hours: from corpus_coverage(begin, end).
-- Columns: account_id, corpus, findable (items of the set that can be found), items (of them seen), share,
-- estimated_items and estimated_share (more than seen where an hour had more fragments than are kept), requests (seen
-- with an item), all_requests, in_order (rank correlation of the items' places in the file with when each was first
-- sent: 1 in order, 0 in any, null below three items), first_seen, last_seen.
create or replace macro corpus_coverage(window_begin, window_end) as table
    with
    ranked as (
        select
            *,
            rank() over (partition by corpus, account_id order by item) as item_rank,
            rank() over (partition by corpus, account_id order by first_seen) as time_rank
        from corpus_sightings(window_begin, window_end)
    ),

    covered as (
        select
            account_id,
            corpus,
            count(*) as items,
            sum(events)::bigint as requests,
            greatest(count(*), coalesce(sum(1 / kept_share) filter (where by_fragment), 0)) as estimated_items,
            if(
                count(*) < 3 or min(time_rank) = max(time_rank), null, round(corr(item_rank, time_rank), 3)
            ) as in_order,
            min(first_seen) as first_seen,
            max(last_seen) as last_seen
        from ranked
        group by account_id, corpus
    ),

    total as (
        -- Every event has a model.
        select
            said.source_id as account_id,
            sum(said.events)::bigint as events
        from link_rows(window_begin, window_end) as said
        inner join (select distinct account_id from covered) as whose on said.source_id = whose.account_id
        where said.target_kind = 'model'
        group by said.source_id
    )

    select
        covered.account_id,
        covered.corpus,
        corpora.findable,
        covered.items,
        round(covered.items / corpora.findable, 4) as share,
        round(least(covered.estimated_items, corpora.findable), 1) as estimated_items,
        round(least(1, covered.estimated_items / corpora.findable), 4) as estimated_share,
        covered.requests,
        total.events as all_requests,
        covered.in_order,
        covered.first_seen,
        covered.last_seen
    from covered
    inner join corpora on covered.corpus = corpora.corpus
    inner join total on covered.account_id = total.account_id;
