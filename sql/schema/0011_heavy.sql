-- Accounts that send much are held against others that do, and are a list of their own.

alter table finding add column heavy boolean;
alter table naming_state add column heavy bigint;
alter table naming_state add column named_heavy bigint;
alter table naming_state add column e_value_needed_heavy double;
