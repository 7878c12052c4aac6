-- Whom a place among peers was compared with, to follow a comparative: "than 99.6 % of 1,240 other keys with 128 to 255
-- requests, newcomers aside". From columns of peers, and what one of them is called.
create or replace macro peers_story(as_high, others, least_events, most_events, noun) as
format(
    'than {} {:,} other {} with {} requests, newcomers aside',
    if(as_high = 0, 'any of', format('{:.1f} % of', 100 * (others - as_high) / others)),
    others,
    noun,
    if(most_events is null, format('{:,} or more', least_events), format('{:,} to {:,}', least_events, most_events))
);
