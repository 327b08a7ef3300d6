-- The proof side of the ledger: what the checker has recomputed from the journal, and what it stopped. Owned by
-- crates/ledger; written by the checker alone (guard.rs), never by the money path.
--
-- The sums here are made from journal rows only, never from the counters they are compared with. They save the checker
-- from reading the whole journal every 15 s; the full check reads it from the first row and trusts none of this.

-- One account's sums over its journal rows, as far as the checker has read them.
create table proof (
  community_id bigint not null,
  account_id   bigint not null,
  lines        bigint not null,                                   -- how many rows
  seq          bigint not null,                                   -- the highest account_seq among them
  minted       bigint not null,
  spent        bigint not null,
  expired      bigint not null,
  reversed     bigint not null,
  owed         bigint not null,
  last_balance bigint not null,                                   -- balance_after of the last row
  constraint proof_pk primary key (community_id, account_id)
) with (fillfactor = 70);

-- How far the checker has read a community's journal.
create table proof_book (
  community_id bigint not null,
  seq          bigint not null,                                   -- the last row that was read
  constraint proof_book_pk primary key (community_id)
) with (fillfactor = 70);

-- One row: the last pass, the sums of all that was read, and whether minting is stopped.
create table guard (
  id                 smallint not null default 1,
  checked_at         timestamptz,                                 -- when the last pass ended
  accounts           bigint   not null default 0,                 -- how many accounts it looked at
  open_since         timestamptz,                                 -- every hold made before this is closed
  changed            bigint   not null default 0,                 -- journal rows changed or deleted, as PostgreSQL counts them
  lines              numeric  not null default 0,
  minted             numeric  not null default 0,
  spent              numeric  not null default 0,
  expired            numeric  not null default 0,
  reversed           numeric  not null default 0,
  owed               numeric  not null default 0,
  minting_stopped_at timestamptz,                                 -- a difference that no account explains: no mint until it is resolved
  constraint guard_pk primary key (id),
  constraint guard_is_one_row check (id = 1)
);
insert into guard default values;

-- A violation may be about a community's chain (no account) or about the sum of all (no community either).
alter table violation alter column community_id drop not null;
alter table violation alter column account_id drop not null;
alter table violation add column fault text not null default '';  -- the differences without the absolute figures: one open row per fault
alter table violation add column resolved_by text;
alter table violation add constraint violation_names_whose check (account_id is null or community_id is not null);
create index violation_open on violation (community_id, account_id) where resolved_at is null;

-- Open holds are recent: the checker reads those made since guard.open_since. created_at never changes, so updates of a
-- hold stay HOT, and a range summary costs the hot path next to nothing.
create index hold_recent on hold using brin (created_at) with (pages_per_range = 32, autosummarize = on);

-- What is due, for the sweep.
create index lot_due on lot (expires_at, id) where is_open;

grant select, insert, update, delete on proof, proof_book to freeside_app;
grant select, update on guard to freeside_app;
