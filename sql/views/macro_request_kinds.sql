-- How many requests were of which kind, of a tally: a list of structs (request_kind, count). docs/request-kinds.md.
create or replace macro request_kinds(tally) as list_transform(
    tally_counts(tally, 5),
    lambda entry: struct_pack(
        request_kind := request_kind(entry.bucket),
        count := entry.count
    )
);
