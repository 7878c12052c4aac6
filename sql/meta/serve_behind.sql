-- Is the writer behind?
select
    'serve' as group_key,
    format('What serve applied last had waited for {} minutes.', floor($behind_s / 60)::integer) as summary,
    $now::timestamptz - to_seconds($behind_s) as first_seen
where $behind_s >= $max_behind_s
