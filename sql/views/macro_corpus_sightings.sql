-- Items of known sets in requests between two moments, by whole hours, a row an item and account: from
-- corpus_sightings(begin, end). Columns: corpus, item, account_id, events, first_seen, last_seen, by_fragment, and
-- kept_share: how much of the set would show where as few fragments of an hour are kept as in the account's best hour
-- with this item. Each such item stands for 1 / kept_share.
create or replace macro corpus_sightings(window_begin, window_end) as table
    with
    hit as (
        select
            mark.corpus,
            mark.item,
            mark.kind,
            said.hour,
            said.source_id,
            said.target_id,
            said.events,
            said.first_seen,
            said.last_seen
        from link_rows(window_begin, window_end) as said
        inner join corpus_mark as mark on said.target_id = mark.thing_id and said.target_kind = mark.kind
        where said.target_kind in ('template', 'fragment')
    ),

    visited as (
        select distinct
            source_id,
            hour
        from hit
        where kind = 'fragment'
    ),

    cut as (
        -- Of an account's hour the 64 smallest fragments count, taken again from what several deltas brought.
        select
            said.source_id,
            said.hour,
            list_sort(list(distinct said.target_id))[64] as last_kept
        from link_rows(window_begin, window_end) as said
        inner join visited on said.source_id = visited.source_id and said.hour = visited.hour
        where said.target_kind = 'fragment'
        group by said.source_id, said.hour
    ),

    shown as (
        -- Several marks of an item in one request are one: the one that most requests have counts.
        select
            hit.corpus,
            hit.item,
            hit.source_id,
            hit.hour,
            hit.kind,
            hit.target_id,
            any_value(cut.last_kept) as last_kept,
            sum(hit.events) as events,
            min(hit.first_seen) as first_seen,
            max(hit.last_seen) as last_seen
        from hit
        left join cut on hit.source_id = cut.source_id and hit.hour = cut.hour
        where hit.kind <> 'fragment' or cut.last_kept is null or hit.target_id <= cut.last_kept
        group by hit.corpus, hit.item, hit.source_id, hit.hour, hit.kind, hit.target_id
    ),

    hourly as (
        select
            corpus,
            item,
            source_id,
            hour,
            max(events) as events,
            min(first_seen) as first_seen,
            max(last_seen) as last_seen,
            bool_or(kind = 'fragment') as by_fragment,
            -- Beyond every hash: an hour of which all is kept.
            max(coalesce(last_kept, 'g')) filter (where kind = 'fragment') as last_kept
        from shown
        group by corpus, item, source_id, hour
    ),

    sighted as (
        select
            corpus,
            item,
            source_id,
            sum(events) as events,
            min(first_seen) as first_seen,
            max(last_seen) as last_seen,
            bool_or(by_fragment) as by_fragment,
            max(last_kept) as last_kept
        from hourly
        group by corpus, item, source_id
    ),

    bound as (
        select distinct
            corpus,
            last_kept
        from sighted
        where last_kept < 'g'
    ),

    placed as (
        select
            bound.corpus,
            bound.last_kept,
            below.place
        from bound
        asof inner join (
            select
                corpus,
                least,
                place
            from corpus_item
            where least is not null
        ) as below on bound.corpus = below.corpus and bound.last_kept >= below.least
    ),

    counted as (
        select
            corpus,
            max(place) as places
        from corpus_item
        group by corpus
    )

    select
        sighted.corpus,
        sighted.item,
        sighted.source_id as account_id,
        sighted.events,
        sighted.first_seen,
        sighted.last_seen,
        sighted.by_fragment,
        coalesce(placed.place / counted.places, 1) as kept_share
    from sighted
    inner join counted on sighted.corpus = counted.corpus
    left join placed on sighted.corpus = placed.corpus and sighted.last_kept = placed.last_kept;
