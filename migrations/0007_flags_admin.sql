-- Switches that an operator turns while the service runs, and what administrators did. Owned by crates/domain.

-- A switch that somebody has turned. One that stands here goes before the environment, whose FEATURE_… variable is only
-- the first value. Every process reads this table each second (crates/domain/src/flags.rs).
create table flag (
  name       text not null,                        -- as in the code: crypto_payments, api_keys
  is_on      boolean not null,
  changed_at timestamptz not null,
  who        text not null,
  constraint flag_pk primary key (name),
  constraint flag_name_form check (name ~ '^[a-z][a-z0-9_]{0,59}$')
);

-- What an administrator or the operator did, insert-only: who, what, to which thing, and why. Written in the transaction
-- of the deed where it is one of ours, and before the deed where the deed asks a vendor.
create table admin_action (
  id           uuid   not null,                    -- version 7: later deeds have larger ones
  at           timestamptz not null,
  who          text   not null,                    -- operator, command line, key:<public id>
  what         text   not null,                    -- a word: payment.reconcile, review.resolve, grant, caps.set, flag.set
  target       text   not null,                    -- the payment, review item, account, community or flag
  reason       text   not null,
  community_id bigint,                             -- null when it concerns all
  once         text,                               -- the deed's own id, where a repeated request does nothing again
  constraint admin_action_pk primary key (id),
  constraint admin_action_once unique (what, once),
  constraint admin_action_reason_length check (char_length(reason) between 1 and 500)
);
create index admin_action_of_community on admin_action (community_id, id);

create trigger admin_action_is_append_only before update or delete on admin_action
  for each row execute function refuse_change();
create trigger admin_action_is_never_emptied before truncate on admin_action
  for each statement execute function refuse_change();

-- A repair of money is asked for twice: the first request makes a row here, the second one uses it up. It names the same
-- deed by the same person, within five minutes.
create table confirmation (
  id         uuid not null,
  who        text not null,
  what       text not null,
  target     text not null,
  reason     text not null,
  expires_at timestamptz not null,
  used_at    timestamptz,
  constraint confirmation_pk primary key (id)
);
create index confirmation_expires on confirmation (expires_at);

grant select, insert, update on flag to freeside_app;
grant select, insert on admin_action to freeside_app;
grant select, insert, update (used_at), delete on confirmation to freeside_app;
