-- Rights: money that waits for the operator's approval, and wallets that are contracts.

-- A decision about a review item that an administrator asks for and the operator approves (SPEC §14): what creates money
-- that no payment processor confirmed, and whatever concerns an order of the asker's own. Owned by crates/domain.
--
-- A row is decided once and kept: it says who asked and who approved. Growth is bounded by persons: an item has one
-- waiting request at most, and takes a few in all (ASKS_PER_ITEM in crates/domain/src/order/approval.rs).
create table approval_request (
  community_id bigint   not null,
  id           uuid     not null,                  -- version 7: later requests have larger ones
  item_id      bigint   not null,                  -- the review item
  resolution   smallint not null,                  -- what is asked for, as review_item.state: 2 credit, 3 dismiss
  who          text     not null,                  -- who asked: key:<public id> or wallet:<wallet>
  note         text     not null,                  -- why
  asked_at     timestamptz not null,
  state        smallint not null default 0,        -- 0 waiting 1 approved 2 declined
  decided_by   text,
  decided_note text,
  decided_at   timestamptz,
  constraint approval_request_pk primary key (community_id, id),
  constraint approval_request_item_fk foreign key (item_id) references review_item (id),
  constraint approval_request_resolution_known check (resolution in (2, 3)),
  constraint approval_request_state_known check (state between 0 and 2),
  constraint approval_request_decided_says check
    ((state = 0) = (decided_by is null) and (state = 0) = (decided_note is null) and (state = 0) = (decided_at is null)),
  constraint approval_request_note_length check (char_length(note) between 1 and 500),
  constraint approval_request_decided_note_length check (char_length(decided_note) between 1 and 500)
);
create unique index approval_request_one_waiting on approval_request (community_id, item_id) where state = 0;
create index approval_request_of_item on approval_request (item_id);
-- The operator names a request by its id alone.
create index approval_request_by_id on approval_request (id);

grant select, insert on approval_request to freeside_app;
grant update (state, decided_by, decided_note, decided_at) on approval_request to freeside_app;

-- A wallet that is a contract is (chain, address): the same address on another chain may be somebody else's contract, or
-- nobody's. Wherever a wallet stands for somebody, the value itself says how it was proved:
--
--   text    0x…                by the signature of its key, good on every chain
--           eip155:8453:0x…    by the contract (ERC-1271) on that chain, and on that one alone (CAIP-10)
--   bytea   20 bytes           by key
--           28 bytes           the address, then the chain as 8 bytes, the highest first
--
-- So every key and every comparison that there is tells the identities apart without a further column, and a server of an
-- older version, which knows 20 bytes and 0x… alone, cannot read a contract's row: it refuses instead of taking it for the
-- key's. Only the checks stand in the way; they are replaced by wider ones.
alter table wallet_session drop constraint wallet_session_wallet_length;
alter table wallet_session add constraint wallet_session_wallet_length check (octet_length(wallet) in (20, 28));
alter table ws_ticket drop constraint ws_ticket_wallet_length;
alter table ws_ticket add constraint ws_ticket_wallet_length check (octet_length(wallet) in (20, 28));
alter table developer drop constraint developer_wallet_length;
alter table developer add constraint developer_wallet_length check (octet_length(wallet) in (20, 28));
alter table community_admin drop constraint community_admin_wallet_form;
alter table community_admin add constraint community_admin_wallet_form
  check (wallet ~ '^(eip155:[1-9][0-9]{0,19}:)?0x[0-9a-fA-F]{40}$');
alter table member drop constraint member_wallet_form;
alter table member add constraint member_wallet_form
  check (wallet ~ '^(eip155:[1-9][0-9]{0,19}:)?0x[0-9a-fA-F]{40}$');
alter table holding drop constraint holding_wallet_form;
alter table holding add constraint holding_wallet_form
  check (wallet ~ '^(eip155:[1-9][0-9]{0,19}:)?0x[0-9a-fA-F]{40}$');

-- Rows from before: all count as proved by key. They did not keep which chain a contract had signed on, and guessing one
-- would hand its things to whoever controls that address there. Nobody has a key for a contract's address, so a contract's
-- old rows lie still; it signs in anew as (chain, address), and an operator gives back what was its: the administrator's
-- right with `freeside admins add COMMUNITY eip155:CHAIN:ADDRESS`, credits with `freeside grant`.
--
-- Sessions do not say either how they were proved, so they end here: everybody signs in again. One that a server of an
-- older version opens meanwhile lives an hour at most.
update wallet_session set revoked_at = now() where revoked_at is null and expires_at > now();

-- A tier that was given by hand used to hold for ever; now it says until when. Those that there are hold for two days more,
-- as if a chain had been read now.
alter table holding add column given_until timestamptz;           -- of a tier that no chain confirms; null: never given
update holding set given_until = now() + interval '48 hours' where verified_at is null;
