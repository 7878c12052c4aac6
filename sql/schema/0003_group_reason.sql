-- What a signal's rule says about all who share its group_key; null where it speaks of one account only.
alter table signal add column group_reason varchar;
