-- Can the file of receivers be used as it is?
select
    one.what as group_key,
    format('The file of receivers cannot be used; those of before are told as before: {}', one.why) as summary,
    $now::timestamptz as first_seen
from (select unnest($broken::struct(what varchar, why varchar)[]) as one) as broken
where one.what = 'receivers'
