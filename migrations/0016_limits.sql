-- Limits that belong to an account: its keys' tokens of a day, and how many keys it makes. Owned by crates/ledger (the
-- index on hold) and crates/identity.

-- The tokens of the day of all keys of an account are read from the books (SPEC §14: limits are per payer and kind), as
-- those of one key were (0014). None of the columns ever changes, so updates of a hold stay HOT; a hold without a key, as
-- of a chat, counts against nobody's day and costs nothing here.
create index hold_of_account on hold (community_id, account_id, id) where key_id is not null;
-- One key's tokens are found among those of its account: two indexes would cost every hold twice.
drop index hold_of_key;

-- An account makes at most 20 keys a day. A key that ended is listed for 30 days and kept for 90, so the table is bounded
-- by its accounts: at most 1,800 rows each, deleted when the account makes its next key. What a key was charged stays in
-- the books under its id.
grant delete on api_key to freeside_app;
create function api_key_stays() returns trigger language plpgsql as $$
begin
  raise exception 'api key % has not ended: it is revoked, and deleted later', old.public_id;
end $$;
create trigger api_key_stays before delete on api_key for each row
  when (old.revoked_at is null and old.expires_at is null) execute function api_key_stays();
-- For the deletion: which key was replaced by this one?
create index api_key_replaced_by on api_key (replaced_by) where replaced_by is not null;
