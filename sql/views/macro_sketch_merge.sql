-- The union of sketches, as a sketch: the 32 smallest distinct hashes of a list.
create or replace macro sketch_merge(sketch) as list_slice(list_sort(list_distinct(sketch)), 1, 32);
