-- One entry for each feature and bucket of a tally in which some are there several times: their counts add up.
create or replace macro tally_merge(tally) as case
    when len(tally) < 2 then tally
    else list_transform(
        list_sort(list_distinct(list_transform(tally, lambda entry: entry & 4095))),
        lambda code: (
            list_sum(
                list_transform(list_filter(tally, lambda entry: (entry & 4095) = code), lambda entry: entry >> 12)
            )::ubigint << 12
        ) + code
    )
end;
