-- Entries of tallies have their count above the code: count << 12 | code instead of code << 32 | count. Of the upper
-- bits all are zero then, and take no room. docs/decisions/0025-counts-above-codes.md.
update pane_delta set tally = list_transform(tally, lambda entry: ((entry & 4294967295) << 12) | (entry >> 32));
update pane set tally = list_transform(tally, lambda entry: ((entry & 4294967295) << 12) | (entry >> 32));
update hour set tally = list_transform(tally, lambda entry: ((entry & 4294967295) << 12) | (entry >> 32));
update day set tally = list_transform(tally, lambda entry: ((entry & 4294967295) << 12) | (entry >> 32));
