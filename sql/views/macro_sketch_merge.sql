-- The 32 smallest distinct sketch of a list: the union of sketches, as a sketch.
create or replace macro sketch_merge(sketch) as list_slice(list_sort(list_distinct(sketch)), 1, 32);
