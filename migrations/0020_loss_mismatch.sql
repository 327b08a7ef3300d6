-- What an answer cost us and nobody pays, and where a provider's figures could not be right. Owned by crates/ledger.
--
-- Both tables say something about a hold and move no balance. Their keys begin with community_id. Rows older than 400
-- days are deleted by the worker's daily job, after the year in which a provider's invoice may still be disputed.

-- An answer that failed through a provider or through us before its caller had anything usable: released, not charged.
create table loss (
  community_id bigint      not null,
  hold_id      uuid        not null,                               -- the hold that was given back
  cause        text        not null,                               -- the stable code of the failure
  provider     text        not null,                               -- by the catalog; empty: unknown
  model        text        not null,                               -- catalog id; empty: unknown
  tokens       bigint      not null,                               -- metered up to the failure, prompt and completion
  cost_micro   bigint      not null,                               -- what they would have cost at the model's price
  at           timestamptz not null,
  constraint loss_pk primary key (community_id, hold_id),
  constraint loss_not_negative check (tokens >= 0 and cost_micro >= 0)
);
create index loss_by_age on loss (at);

-- A provider reported more than the request could use. The charge was made by the figures in charged_*.
create table usage_mismatch (
  community_id  bigint      not null,
  hold_id       uuid        not null,
  model         text        not null,
  reported_in   bigint      not null,
  reported_out  bigint      not null,
  charged_in    bigint      not null,
  charged_out   bigint      not null,
  at            timestamptz not null,
  constraint usage_mismatch_pk primary key (community_id, hold_id)
);
create index usage_mismatch_by_age on usage_mismatch (at);

-- A payer's sandbox account has the payer's account number, negative. It holds sandbox lots only. Lots of the day on which
-- this migration runs may still lie in the payer's own account; they expire at midnight.
alter table lot add constraint lot_of_sandbox_account check (account_id >= 0 or source = 4);

grant select, insert, delete on loss, usage_mismatch to freeside_app;
