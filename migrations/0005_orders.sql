-- Orders and payments: what was ordered, what the vendor said of it, and what a person has to look at. Owned by
-- crates/domain.
--
-- Money itself is in the ledger's tables; here is why it came. Every writer (a notice, the poller, an admin's repair)
-- runs one transaction that locks order -> its payments -> the ledger's book -> account, in this order.
--
-- What always holds, and what the database itself refuses to break:
--   facts about a payment only grow (a bit is never taken back), so notices may come in any order, any number of times
--   a payment is credited at most once, an order's pack stands on at most one payment at a time
--   what the vendor said is kept as it came

-- One pack that somebody wants to buy. Amounts are copied from the catalog: a later price list changes no order.
create table purchase_order (
  id             uuid   not null,                                -- UUIDv7, drawn here; the vendor's order_id
  community_id   bigint not null,
  account_id     bigint not null,
  pack           text   not null,
  price_amount   text   not null,                                -- decimal text, as the vendor is asked for it
  price_currency text   not null,
  credits        bigint not null,                                -- micro-USD of the purchase lot
  bonus          bigint not null,                                -- micro-USD of the bonus lot
  expires_days   int,                                            -- days from the mint; null: never
  created_at     timestamptz not null,
  choosing_until timestamptz,                                    -- a payment is being made until then at most
  constraint purchase_order_pk primary key (id),
  constraint purchase_order_community_fk foreign key (community_id) references community (id),
  constraint purchase_order_amounts check (credits > 0 and bonus >= 0),
  constraint purchase_order_expiry check (expires_days > 0)
);
create index purchase_order_by_account on purchase_order (community_id, account_id, created_at desc);

-- One payment of an order, under the vendor's number. Another coin is another payment of the same order.
create table payment (
  id           text     not null,                                -- the vendor's payment_id
  order_id     uuid     not null,
  parent_id    text,                                             -- of a repeated or wrong-asset deposit, which never mints
  coin         text,
  network      text,
  pay_address  text,
  memo         text,                                             -- without it a deposit of some coins is lost
  pay_amount   text,                                             -- decimal texts, never numbers
  actually_paid text,
  valid_until  timestamptz,
  created_at   timestamptz not null,
  rank         smallint not null default 0,                      -- highest status told: 0 waiting … 7 finished 8 refunded
  facts        int      not null default 0,                      -- every status and oddity ever told, one bit each
  credit       smallint not null default 0,                      -- 0 none 1 pack 2 overpay 3 taken back 4 declined
  credits_minted_at   timestamptz,
  credits_reversed_at timestamptz,
  deposit_at   timestamptz,                                      -- when money was first seen
  polled_at    timestamptz,
  next_poll_at timestamptz,                                      -- null: nothing more to ask
  constraint payment_pk primary key (id),
  constraint payment_order_fk foreign key (order_id) references purchase_order (id),
  constraint payment_rank_known check (rank between 0 and 8),
  constraint payment_credit_known check (credit between 0 and 4),
  constraint payment_minted_says check ((credits_minted_at is not null) = (credit in (1, 2, 3))),
  constraint payment_reversed_says check ((credits_reversed_at is not null) = (credit = 3))
);
create unique index payment_mints_once on payment (order_id) where credit = 1;
create index payment_by_order on payment (order_id, created_at, id);
create index payment_to_poll on payment (next_poll_at) where next_poll_at is not null;
create index payment_uncredited on payment (deposit_at, id) where credit = 0 and deposit_at is not null;

-- What the vendor said, verbatim. Insert-only.
create table notice (
  id         bigint generated always as identity,
  payment_id text,
  order_id   uuid,                                               -- null: no order of ours was meant
  origin     smallint not null,                                  -- 1 notice 2 poll 3 admin
  status     text     not null,
  body       bytea    not null,                                  -- the notice's bytes; of a poll, what was read, as JSON
  at         timestamptz not null,
  constraint notice_pk primary key (id),
  constraint notice_origin_known check (origin between 1 and 3),
  constraint notice_body_bound check (octet_length(body) <= 65536)
);
create index notice_by_payment on notice (payment_id, id);

-- What a person has to look at. One row per payment, kind and detail, however often it is told.
create table review_item (
  id           bigint generated always as identity,
  kind         smallint not null,                                -- see crates/domain/src/order/rule.rs
  payment_id   text     not null,
  detail       text     not null default '',
  order_id     uuid,
  community_id bigint,
  state        smallint not null default 0,                      -- 0 open 1 overtaken by events 2 credited 3 dismissed
  opened_at    timestamptz not null,
  closed_at    timestamptz,
  who          text,
  note         text,
  constraint review_item_pk primary key (id),
  constraint review_item_once unique (payment_id, kind, detail),
  constraint review_item_order_fk foreign key (order_id) references purchase_order (id),
  constraint review_item_kind_known check (kind between 1 and 8),
  constraint review_item_state_known check (state between 0 and 3),
  constraint review_item_closed_says check ((state = 0) = (closed_at is null)),
  constraint review_item_person_says check ((state in (2, 3)) = (who is not null))
);
create index review_item_open on review_item (id) where state = 0;

-- What has to be told to somebody outside, written in the transaction that makes it true. A worker sends and marks it.
create table outbox (
  id      bigint generated always as identity,
  topic   text  not null,
  subject text  not null,
  body    jsonb not null,
  at      timestamptz not null,
  sent_at timestamptz,
  constraint outbox_pk primary key (id),
  constraint outbox_once unique (topic, subject)
);
create index outbox_unsent on outbox (id) where sent_at is null;

-- Answers to requests that carried an Idempotency-Key, for 24 hours.
create table idempotency (
  community_id bigint not null,
  account_id   bigint not null,
  key          text   not null,
  input_hash   bytea  not null,
  answer       text   not null,
  created_at   timestamptz not null,
  constraint idempotency_pk primary key (community_id, account_id, key),
  constraint idempotency_hash_is_sha256 check (octet_length(input_hash) = 32)
);
create index idempotency_by_age on idempotency (created_at);

create trigger notice_is_append_only before update or delete on notice for each row execute function refuse_change();
create trigger notice_is_never_emptied before truncate on notice for each statement execute function refuse_change();

-- Amounts of an order, and the facts that name a payment, never change once written.
grant select, insert on purchase_order, payment, notice, review_item, outbox to freeside_app;
grant update (choosing_until) on purchase_order to freeside_app;
grant update (actually_paid, parent_id, rank, facts, credit, credits_minted_at, credits_reversed_at, deposit_at, polled_at,
  next_poll_at, coin, network, pay_address, memo, pay_amount, valid_until) on payment to freeside_app;
grant update (state, closed_at, who, note) on review_item to freeside_app;
grant update (sent_at) on outbox to freeside_app;
grant select, insert, update, delete on idempotency to freeside_app;
