-- Which API keys were used from many networks?
-- $hours = 24
-- $networks = 3
select
    links.source_id as api_key_id,
    any_value(api_keys.account_id) as account_id,
    count(distinct links.target_id) as networks,
    sum(links.events)::bigint as requests,
    list(distinct links.target_id order by links.target_id)[1:10] as some_networks,
    min(links.first_seen) as first_seen,
    max(links.last_seen) as last_seen
from
    links_of(
        'api_key',
        (select max(last_seen) from accounts) - to_hours($hours::integer - 1),
        (select max(last_seen) from accounts) + interval 1 hour
    ) as links
left join api_keys on links.source_id = api_keys.api_key_id
where links.target_kind = 'network'
group by links.source_id
having count(distinct links.target_id) >= $networks
order by networks desc, requests desc, links.source_id asc;
