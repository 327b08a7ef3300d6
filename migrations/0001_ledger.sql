-- The ledger: who has how much, what is set aside, and every movement that ever was.
--
-- Read this file first. Money is micro-USD in a bigint. The one writer of these tables is crates/ledger; every
-- transaction locks in one order: book of the community -> account -> its lots and holds. Each key begins with
-- community_id, so the tables can be partitioned by community without a change of meaning.
--
-- What always holds, and what the database itself refuses to break:
--   minted + owed = available + held + spent + expired + reversed        (conservation, a CHECK)
--   sum of lot.remaining = available + held                               (the rule; recomputed by the checker)
--   balance (of an audit line) = available + held - owed
--   journal rows are never changed, and their numbers have no gap per community and per account

do $$
begin
  -- Roles are global to a cluster; a managed database may have made them already.
  if not exists (select from pg_roles where rolname = 'freeside_app') then create role freeside_app login; end if;
  if not exists (select from pg_roles where rolname = 'loa_finn_ro') then create role loa_finn_ro login; end if;
exception when duplicate_object or unique_violation then null;   -- another database of the cluster made them just now
end $$;

grant usage on schema public to freeside_app, loa_finn_ro;

-- One row per community: the head of its audit chain and this month's cap. The first lock of every money transaction.
create table book (
  community_id bigint not null,
  version      bigint not null default 0,
  seq          bigint not null default 0,                         -- last journal.seq
  head         bytea  not null default decode(repeat('00', 32), 'hex'),
  cap_month    date   not null,                                   -- first day (UTC) of the month that the next two count
  cap_limit    bigint,                                            -- null: no cap
  cap_held     bigint not null default 0,
  cap_spent    bigint not null default 0,
  constraint book_pk primary key (community_id),
  constraint book_head_is_sha256 check (octet_length(head) = 32),
  constraint book_cap_nonneg check (cap_held >= 0 and cap_spent >= 0 and coalesce(cap_limit, 0) >= 0)
  -- No check held + spent <= limit: a late settle or a lowered cap may pass it; the rule refuses new holds.
) with (fillfactor = 10);

-- One payer in one community.
create table account (
  community_id bigint not null,
  id           bigint not null,
  version      bigint not null default 0,
  seq          bigint not null default 0,                         -- last journal.account_seq
  minted       bigint not null default 0,
  available    bigint not null default 0,
  held         bigint not null default 0,
  spent        bigint not null default 0,
  expired      bigint not null default 0,
  reversed     bigint not null default 0,
  owed         bigint not null default 0,                         -- a receivable: never mixed with a negative balance
  cap_month    date   not null,
  cap_limit    bigint,                                            -- per-user monthly cap, null: none
  cap_held     bigint not null default 0,
  cap_spent    bigint not null default 0,
  holder       text,                                              -- wallet address for the audit line, null for a developer
  frozen_at    timestamptz,                                       -- no new holds or grants; settles go on
  constraint account_pk primary key (community_id, id),
  constraint account_book_fk foreign key (community_id) references book (community_id),
  constraint conservation check (minted + owed = available + held + spent + expired + reversed),
  constraint no_overdraft check (available >= 0 and held >= 0 and owed >= 0 and (available = 0 or owed = 0)),
  constraint account_sums_nonneg check (minted >= 0 and spent >= 0 and expired >= 0 and reversed >= 0),
  constraint account_cap_nonneg check (cap_held >= 0 and cap_spent >= 0 and coalesce(cap_limit, 0) >= 0)
) with (fillfactor = 40);

-- Credits of one origin, consumed earliest expiry first. The id is chosen by whoever mints: twice is once.
create table lot (
  community_id bigint   not null,
  account_id   bigint   not null,
  id           uuid     not null,
  source       smallint not null,                                 -- 1 purchase 2 bonus 3 grant 4 sandbox 5 x402 6 overpay
  minted       bigint   not null,
  remaining    bigint   not null,
  reversed     bigint   not null default 0,
  expires_at   timestamptz not null,                              -- 9999-12-31: never
  is_open      boolean  not null,                                 -- changes once, so the partial index below stays out of HOT's way
  created_at   timestamptz not null,
  constraint lot_pk primary key (community_id, id),
  constraint lot_account_fk foreign key (community_id, account_id) references account (community_id, id),
  constraint lot_bounds check (minted > 0 and remaining between 0 and minted and reversed between 0 and minted),
  constraint lot_open_says check (is_open = (remaining > 0)),
  constraint lot_source_known check (source between 1 and 6)
) with (fillfactor = 70);
create index lot_next on lot (community_id, account_id, expires_at, id) where is_open;

-- A running process that owns holds. Its lease is renewed by one heartbeat, on the database's clock.
create table owner (
  id          int generated always as identity,
  name        text not null,
  started_at  timestamptz not null default now(),
  lease_until timestamptz not null,
  swept_at    timestamptz,                                         -- dead, and none of its holds is open any more
  constraint owner_pk primary key (id)
);

-- One request's reservation, and afterwards its routing record. No index on state: it would switch HOT updates off;
-- open holds are recent, and are found by a range of the UUIDv7 key.
create table hold (
  community_id  bigint   not null,
  id            uuid     not null,                                -- budget_reservation_id
  account_id    bigint   not null,
  owner_id      int      not null,
  key_id        bigint,
  cap_month     date     not null,                                -- the month in which it was made counts it
  amount        bigint   not null,
  input_hash    bytea    not null,
  state         smallint not null,                                -- 0 open 1 settled 2 released 3 orphaned
  charged       bigint,
  price_version int      not null,
  agent         text,                                             -- {slug}:{token}, null for a plain pool or model
  asked         text     not null,                                -- the model's name as the caller wrote it
  pool          smallint,                                         -- what answered: 0 cheap … 4 flagship
  model         text,
  reason        text,                                             -- why that pool and model
  tokens_in     bigint,
  tokens_out    bigint,
  own_in        bigint,                                           -- our own count, where the provider's was charged
  own_out       bigint,
  created_at    timestamptz not null,
  closed_at     timestamptz,
  constraint hold_pk primary key (community_id, id),
  constraint hold_positive check (amount > 0),
  constraint hold_closed_says check ((state = 0) = (closed_at is null)),
  constraint hold_charged_says check ((state = 1) = (charged is not null)),
  constraint hold_state_known check (state between 0 and 3),
  constraint hold_hash_is_sha256 check (octet_length(input_hash) = 32)
) with (fillfactor = 50);

-- Journal entry and audit line in one: balanced by construction (one debit, one credit, one amount).
create table journal (
  community_id  bigint   not null,
  seq           bigint   not null,
  account_id    bigint   not null,
  account_seq   bigint   not null,
  kind          smallint not null,                                -- 1 mint 2 settle 3 expire 4 reverse 5 late settle 6 repay
  debit         smallint not null,                                -- 0 issued 1 available 2 held 3 spent 4 expired 5 reversed 6 owed
  credit        smallint not null,
  amount        bigint   not null,
  balance_after bigint   not null,
  ref           uuid,                                             -- the hold or the mint that caused it
  pool          smallint,
  at            timestamptz not null,
  hash          bytea    not null,                                -- SHA-256 over the previous hash and this line
  constraint journal_pk primary key (community_id, seq),
  constraint journal_gapless unique (community_id, account_id, account_seq),
  constraint journal_two_sides check (debit <> credit and amount > 0),
  constraint journal_kind_known check (kind between 1 and 6),
  constraint journal_hash_is_sha256 check (octet_length(hash) = 32)
);

-- What the checker found. A row stays; resolving it adds who and why.
create table violation (
  id           bigint generated always as identity,
  community_id bigint not null,
  account_id   bigint not null,
  found_at     timestamptz not null,
  what         text not null,
  resolved_at  timestamptz,
  note         text,
  constraint violation_pk primary key (id)
);

-- Which prices a charge was made by. One row per distinct price list, found by its hash.
create table price_version (
  id         int generated always as identity,
  hash       bytea not null,
  prices     jsonb not null,
  created_at timestamptz not null,
  constraint price_version_pk primary key (id),
  constraint price_version_hash_key unique (hash)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is append-only: a correction is a new row', tg_table_name using errcode = 'insufficient_privilege';
end $$;

create trigger journal_is_append_only before update or delete on journal for each row execute function refuse_change();
create trigger journal_is_never_emptied before truncate on journal for each statement execute function refuse_change();

-- The application role can do what the ledger does, and nothing else: it owns no table, so it can disable no trigger.
grant select, insert, update on book, account, lot, hold to freeside_app;
grant select, insert on journal, price_version to freeside_app;
grant select, insert, update on violation to freeside_app;
grant select, insert, update, delete on owner to freeside_app;
