-- Wallets that signed in: one-time numbers to sign, sessions, and codes that carry a session into a frame (SPEC §6, §13).
--
-- All three tables belong to crates/identity. A wallet is the 20 bytes of its address.

-- A number that one browser asked for and one signed message uses up. It is marked as used before anything of the message
-- is verified, so that a failed try costs it too.
create table siwe_nonce (
    nonce      text        not null,
    -- The page's origin, as the browser named it.
    origin     text        not null,
    -- SHA-256 of the cookie that the browser got with it.
    browser    bytea       not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- Null: nobody has tried yet.
    used_at    timestamptz,

    constraint siwe_nonce_pkey primary key (nonce),
    constraint siwe_nonce_form check (nonce ~ '^[A-Za-z0-9]{22,64}$'),
    constraint siwe_nonce_browser_length check (octet_length(browser) = 32)
);
-- For the pruning.
create index siwe_nonce_expires_idx on siwe_nonce (expires_at);

-- A signed-in wallet on one device. The token itself is signed and not stored; this row is what can be listed and ended.
create table wallet_session (
    id         uuid        not null,
    wallet     bytea       not null,
    -- The only origin that may use it.
    origin     text        not null,
    -- What its owner sees in the list: browser and system, shortened.
    label      text        not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- Null: not ended before its time.
    revoked_at timestamptz,

    constraint wallet_session_pkey primary key (id),
    constraint wallet_session_wallet_length check (octet_length(wallet) = 20),
    constraint wallet_session_label_length check (char_length(label) <= 120),
    constraint wallet_session_ends_after_its_start check (expires_at > created_at)
);
-- "This wallet's sessions", and the count behind the bound.
create index wallet_session_wallet_idx on wallet_session (wallet, created_at);
-- For the pruning.
create index wallet_session_expires_idx on wallet_session (expires_at);

-- A code that a sign-in page hands to the frame that opened it, for a session of the frame's own. Only its hash is here.
create table handoff (
    -- SHA-256 of the code.
    id         bytea       not null,
    -- The only origin that may exchange it.
    origin     text        not null,
    -- Set where the frame chose the code and polls: SHA-256 of the client's address and browser, which must be the same.
    client     bytea,
    -- The session that is handed on, no longer than it lives: one that has ended hands nothing on.
    session_id uuid        not null,
    expires_at timestamptz not null,

    constraint handoff_pkey primary key (id),
    constraint handoff_id_length check (octet_length(id) = 32),
    constraint handoff_client_length check (octet_length(client) = 32)
);
-- For the pruning.
create index handoff_expires_idx on handoff (expires_at);

-- A developer may be a wallet that signed in; its session then stands for its keys.
alter table developer
    add column wallet bytea,
    add constraint developer_wallet_key unique (wallet),
    add constraint developer_wallet_length check (octet_length(wallet) = 20);

grant select, insert, delete on siwe_nonce, handoff to freeside_app;
grant update (used_at) on siwe_nonce to freeside_app;
grant select, insert, delete on wallet_session to freeside_app;
grant update (revoked_at) on wallet_session to freeside_app;
