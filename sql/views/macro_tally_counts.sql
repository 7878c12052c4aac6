-- Buckets of one feature of a tally with their counts, as a list of structs. 1 input tokens, 2 output tokens,
-- 3 latency in ms: bucket b holds values of b bits, 2^(b-1) to 2^b - 1. 4 language: its place in a fixed list.
-- 5 kind of request: see request_kinds.
create or replace macro tally_counts(tally, feature) as list_transform(
    list_filter(tally_merge(tally), lambda entry: ((entry & 4095) >> 8) = feature),
    lambda entry: struct_pack(bucket := entry & 255, count := entry >> 12)
);
