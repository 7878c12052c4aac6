-- Accounts are named by a false-discovery rate over e-values, no longer by a score.

alter table finding add column population varchar;
alter table finding add column e_value double;

create table naming_state (
    tests bigint not null,
    false_discovery_rate double not null,
    named bigint not null,
    e_value_needed double,
    knowledge varchar not null,
    reference varchar not null,
    updated_at timestamptz not null
);
