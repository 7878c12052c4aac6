-- Whether an account sends so much that it could distil by itself: 250 requests a day, over its time, a day at least.
create or replace macro sends_much(events, first_seen, last_seen) as
events >= 250 * greatest(1, date_diff('second', first_seen, last_seen) / 86400);
