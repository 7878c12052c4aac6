-- A sum of prompts' features without a part of it: what distribution_distance needs of a set and a part of it.
create or replace macro distribution_without(whole_sum, part_sum) as list_transform(
    range(1, 65), lambda place: whole_sum[place] - part_sum[place]
);
