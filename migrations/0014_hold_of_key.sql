-- A key's answers, in the order in which they were asked. Owned by crates/ledger.
--
-- A key's tokens of the day are read from the books (SPEC §13): without this each reading went through its whole
-- community's day. Neither column ever changes, so updates of a hold stay HOT; a hold without a key costs nothing here.
create index hold_of_key on hold (key_id, id) where key_id is not null;
