-- How far chance takes distribution_distance from 0 where both sets are drawn from one source, a prompt at a time: its
-- standard error, for prompts as varied as people's. Where all come from a few patterns it is up to twice that, and
-- accounts differ more than prompts do: compare with the distances between accounts that are known to be unrelated.
create or replace macro distribution_error(a_sum, a_events, b_sum, b_events) as
sqrt(2 / 16)
* (
    abs(distribution_spread(a_sum, a_events)) / a_events
    + abs(distribution_spread(b_sum, b_events)) / b_events
);
