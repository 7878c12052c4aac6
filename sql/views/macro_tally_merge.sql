-- One entry for each feature and bucket of a tally in which some are there several times: their counts add up.
create or replace macro tally_merge(tally) as case
    when len(tally) < 2 then tally
    else list_sort(list_transform(
        list_distinct(list_transform(tally, lambda code: code >> 32)),
        lambda bin: (bin << 32) + list_sum(
            list_transform(
                list_filter(tally, lambda code: (code >> 32) = bin), lambda code: code & 4294967295
            )
        )::ubigint
    ))
end;
