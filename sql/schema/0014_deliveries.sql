-- Several endpoints a message, and what each answered.
alter table outbox add column last_response varchar;
