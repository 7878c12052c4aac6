-- The mean kernel of two different prompts of a set, from the inner product of its sum with itself: 1 less
-- distribution_spread. For two prompts and more.
create or replace macro distribution_within(product, events) as
(product / 516128 - events) / (events * (events - 1));
