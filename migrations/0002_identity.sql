-- Who asks: API keys, and the notice board through which processes learn that something changed (SPEC §6, §13).
--
-- Both tables belong to crates/identity; no other crate writes to them. The migration runs as freeside_owner, which
-- therefore owns them; the server works as freeside_app and is granted below exactly what it needs, and no more.
-- finn's role, loa_finn_ro, is granted nothing: finn knows a caller only by the claims of a signed token.

-- One row per API key ever made. A key is never deleted, only revoked, so that an old invoice or audit line can always
-- be traced to the key that caused it.
--
-- The key's text is lf_live_ or lf_test_, then public_id, '_', a secret and a checksum. The secret is not here: `hash`
-- is HMAC-SHA256(pepper, salt || secret), and the pepper lives in the process's settings. A stolen copy of this table
-- alone can neither be used nor be searched for the secret.
create table api_key (
    id                  bigint      not null,
    -- The 12 base32 characters that are printed in the key, in lists and in logs. Not a secret.
    public_id           text        not null,
    -- Who pays. The tables of accounts and communities belong to other crates, which is why there is no foreign key.
    community_id        bigint      not null,
    account_id          bigint      not null,
    -- What its owner calls it.
    name                text        not null,
    -- 0 = sandbox (lf_test_), 1 = live (lf_live_).
    kind                smallint    not null,
    salt                bytea       not null,
    hash                bytea       not null,
    -- Which API_KEY_PEPPER_V… made `hash`. Old peppers stay in the settings until their last key is gone.
    pepper_version      smallint    not null,
    -- What the key may do: chat, models, usage, keys, admin. A word that a binary does not know grants nothing.
    scopes              text[]      not null,
    requests_per_minute integer     not null,
    tokens_per_day      bigint      not null,
    created_at          timestamptz not null,
    -- Written in batches, so at most 60 s behind the truth. Null: never used.
    last_used_at        timestamptz,
    -- Set by a rotation: the old key works until the overlap ends. Null: no end.
    expires_at          timestamptz,
    -- Null: not revoked.
    revoked_at          timestamptz,
    -- The key that a rotation put in this one's place.
    replaced_by         bigint,

    constraint api_key_pkey primary key (id),
    constraint api_key_public_id_key unique (public_id),
    constraint api_key_public_id_form check (public_id ~ '^[a-z2-7]{12}$'),
    constraint api_key_name_length check (char_length(name) between 1 and 80),
    constraint api_key_kind_known check (kind in (0, 1)),
    constraint api_key_salt_length check (octet_length(salt) = 16),
    constraint api_key_hash_length check (octet_length(hash) = 32),
    constraint api_key_requests_per_minute_range check (requests_per_minute >= 1),
    constraint api_key_tokens_per_day_range check (tokens_per_day >= 1),
    -- Only a rotation ends a key at a set time, and it always names the successor.
    constraint api_key_replaced_has_end check ((replaced_by is null) = (expires_at is null)),
    constraint api_key_replaced_by_fkey foreign key (replaced_by) references api_key (id)
) with (fillfactor = 80); -- room on the page, so that writing last_used_at need not touch the indexes

-- "This account's keys" and the count behind "at most 10 active".
create index api_key_account_idx on api_key (account_id, created_at desc);

-- The notice board: "topic, subject changed". Every process reads the new rows each 500 ms and drops what it had cached
-- about the subject. A row is written in the transaction that makes the change, so neither can exist without the other.
--
-- It is a table and not LISTEN/NOTIFY, because a notification is lost while a connection is down, and because PgBouncer
-- in transaction mode cannot carry one.
--
-- Ids come from a sequence, and a sequence does not wait for commits: id 7 may become visible after id 8 was read.
-- Readers therefore remember the ids they have skipped and ask for them again for a while (crates/identity/src/changes.rs).
create table changes (
    id      bigint      not null generated always as identity,
    -- Whose rows changed: 'api_key'. Later work adds its own words.
    topic   text        not null,
    -- Which one: for 'api_key' the public_id.
    subject text        not null,
    at      timestamptz not null,

    constraint changes_pkey primary key (id)
);

-- For the pruning: rows are read within seconds and dropped after a day.
create index changes_at_idx on changes (at);

-- No delete on keys, and salt, hash and owner of a key never change once written.
grant select, insert on api_key to freeside_app;
grant update (name, scopes, requests_per_minute, tokens_per_day, last_used_at, expires_at, revoked_at, replaced_by)
    on api_key to freeside_app;
grant select, insert, delete on changes to freeside_app;
