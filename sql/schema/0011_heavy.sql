-- Accounts that send much are held against others that do, and a part of the rate is kept for them.

alter table finding add column heavy boolean;
alter table naming_state add column heavy bigint;
alter table naming_state add column e_value_needed_heavy double;
