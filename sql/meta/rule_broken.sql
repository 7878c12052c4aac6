-- What of the files and settings of rules cannot be used?
select
    one.what as group_key,
    case
        when one.what = 'settings' then format('Settings of rules cannot be used as they are: {}', one.why)
        when starts_with(one.what, 'rule:') and list_contains($rules::varchar[], one.what[6:])
            then format('Rule {} goes on as it was read last: {}', one.what[6:], one.why)
        else format('Rule {} does not run: {}', one.what[6:], one.why)
    end as summary,
    $now::timestamptz as first_seen
from (select unnest($broken::struct(what varchar, why varchar)[]) as one) as broken
where one.what <> 'receivers'
