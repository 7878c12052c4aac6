-- What accounts said between two moments, by whole hours: from account_texts(begin, end). A row an account and
-- template, system prompt or fragment (kind, thing_id), with events, first_seen, last_seen. Of an account's hour the 64
-- smallest fragments count (last_fragments).
create or replace macro account_texts(window_begin, window_end) as table
    select
        said.target_kind as kind,
        said.target_id as thing_id,
        said.source_id as account_id,
        sum(said.events) as events,
        min(said.first_seen) as first_seen,
        max(said.last_seen) as last_seen
    from link_rows(window_begin, window_end) as said
    left join last_fragments(window_begin, window_end) as cut
        on said.source_id = cut.source_id and said.hour = cut.hour
    where
        said.target_kind in ('template', 'system_prompt', 'fragment')
        and (said.target_kind <> 'fragment' or cut.last_kept is null or said.target_id <= cut.last_kept)
    group by said.target_kind, said.target_id, said.source_id;
