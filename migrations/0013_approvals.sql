-- A repair of money that one administrator asks for and another approves. Owned by crates/domain.
--
-- Where a community has two administrators or more, the second request for a repair has to come from another one than
-- the first (SPEC §13). The row that the first request makes says so, and is found by the community that it concerns.
alter table confirmation add column community_id bigint;                        -- null: it concerns no community
alter table confirmation add column by_another boolean not null default false;  -- another administrator has to confirm
alter table confirmation add constraint confirmation_another_of_whom check (not by_another or community_id is not null);
create index confirmation_to_approve on confirmation (community_id, expires_at) where by_another;

-- The grants of 0007 cover the new columns: the application reads and adds rows, and changes used_at alone.
