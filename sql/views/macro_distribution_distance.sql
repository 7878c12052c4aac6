-- The squared distance (MMD²) between what two sets of prompts were drawn from: an unbiased estimate, so it is below 0
-- about half of the time for sets from one source, and null where one has fewer than two prompts. Not for a set and a
-- part of it: take the part out first, sums subtract. How far from 0 chance takes it: distribution_error.
create or replace macro distribution_distance(a_sum, a_events, b_sum, b_events) as
2
- distribution_spread(a_sum, a_events)
- distribution_spread(b_sum, b_events)
- 2 * distribution_likeness(a_sum, a_events, b_sum, b_events);
