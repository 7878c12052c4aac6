-- How alike two sets of prompts are, by their sums of features: the mean kernel of a prompt of one and a prompt of the
-- other. For distribution_distance; of a set with itself it counts each prompt with itself too.
create or replace macro distribution_likeness(a_sum, a_events, b_sum, b_events) as
list_dot_product(a_sum::double[], b_sum::double[]) / 516128 / a_events / b_events;
