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
