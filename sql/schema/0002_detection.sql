-- What rules found, what follows from it, and what was told about it.

create table signal (
    rule_id varchar not null,
    evidence varchar not null,
    dimension varchar not null,
    entity_id varchar not null,
    account_id varchar not null,
    group_key varchar not null,
    strength double not null,
    reason varchar not null,
    window_start timestamptz not null,
    window_end timestamptz not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null
);

create table rule_state (
    rule_id varchar not null,
    evaluated_until timestamptz,
    dirty_since timestamptz,
    status varchar not null,
    failures bigint not null,
    last_error varchar,
    matches bigint not null,
    last_run_at timestamptz not null
);

create table finding (
    finding_id varchar not null,
    dimension varchar not null,
    entity_id varchar not null,
    campaign_id varchar,
    score double not null,
    named boolean not null,
    cleared_reason varchar,
    reasons varchar[] not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table campaign (
    campaign_id varchar not null,
    first_key varchar not null,
    score double not null,
    accounts bigint not null,
    named_accounts bigint not null,
    reasons varchar[] not null,
    merged_into varchar,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table campaign_key (
    group_key varchar not null,
    campaign_id varchar not null
);

create table campaign_member (
    campaign_id varchar not null,
    account_id varchar not null,
    probability double not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    joined_at timestamptz not null
);

create table alert (
    alert_id varchar not null,
    subject varchar not null,
    rule_id varchar not null,
    group_key varchar not null,
    campaign_id varchar,
    severity varchar not null,
    state varchar not null,
    title varchar not null,
    summary varchar not null,
    accounts bigint not null,
    score double not null,
    first_seen timestamptz not null,
    last_seen timestamptz not null,
    opened_at timestamptz not null,
    updated_at timestamptz not null,
    resolved_at timestamptz,
    seq bigint not null,
    evidence_sql varchar not null
);

create table alert_event (
    alert_id varchar not null,
    seq bigint not null,
    type varchar not null,
    created_at timestamptz not null,
    severity varchar not null,
    accounts bigint not null,
    score double not null,
    message_id varchar not null
);

create table outbox (
    message_id varchar not null,
    alert_id varchar not null,
    seq bigint not null,
    endpoint varchar not null,
    body varchar not null,
    created_at timestamptz not null,
    state varchar not null,
    attempts bigint not null,
    next_attempt_at timestamptz not null,
    delivered_at timestamptz,
    last_status integer,
    last_error varchar
);

create table webhook_endpoint (
    endpoint varchar not null,
    disabled_at timestamptz not null,
    reason varchar not null
);

create table decision (
    decision_id varchar not null,
    account_id varchar not null,
    action varchar not null,
    mode varchar not null,
    reason varchar not null,
    campaign_id varchar,
    valid_from timestamptz not null,
    valid_until timestamptz,
    created_at timestamptz not null
);
