-- Alerts that wait, fire, are taken on and are over; what people say about them; messages that are held back.
alter table alert add column dimension varchar default 'account';
alter table alert add column tags varchar[];
alter table alert add column within varchar;
alter table alert add column pending_since timestamptz;
alter table alert add column firing_since timestamptz;
update alert set state = 'firing'
where state = 'open';
update alert set dimension = if(rule_id = 'campaign', 'campaign', 'account'), tags = [], firing_since = opened_at;

-- Word by word, never deleted: the last word of each kind counts.
create table alert_word (
    seq bigint not null,
    alert_id varchar not null,
    action varchar not null,
    value varchar,
    note varchar,
    rules varchar[],
    said_by varchar not null,
    said_at timestamptz not null
);

create table silence (
    silence_id varchar not null,
    matchers varchar[] not null,
    reason varchar not null,
    said_by varchar not null,
    said_at timestamptz not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    ended_by varchar
);

-- A message knows what it is by itself: reminders and groups are no events of one alert.
alter table outbox add column type varchar;
alter table outbox add column held_for varchar;
alter table outbox add column told_in varchar;
update outbox set type = alert_event.type from alert_event
where outbox.message_id = alert_event.message_id;
