-- Agents: the tokens of a community's collections, and the wallets that talk to them. Owned by crates/domain.
--
-- What a token is (its name and traits) comes from its metadata; what it becomes (voice, era, affinities) is derived by
-- the engine from the view at the end, and by nobody else. A wallet stands in its EIP-55 form, which is one text for
-- each address.

-- What a new member is given once, so that a first conversation costs nothing; 0: nothing.
alter table community add column welcome_micro bigint not null default 0;
alter table community add constraint community_welcome_range check (welcome_micro between 0 and 10000000);

-- Who administers a community. A row is the right; taking it away deletes the row, and `admin_action` remembers both.
create table community_admin (
  community_id bigint not null,
  wallet       text   not null,
  added_by     text   not null,                    -- another admin's wallet, operator, configuration, demo
  at           timestamptz not null,
  constraint community_admin_pk primary key (community_id, wallet),
  constraint community_admin_community_fk foreign key (community_id) references community (id),
  constraint community_admin_wallet_form check (wallet ~ '^0x[0-9a-fA-F]{40}$')
);
create index community_admin_of_wallet on community_admin (wallet);

-- A collection of tokens. Its slug stands in URLs, in model names and in the engine's claims.
create table collection (
  id           bigint  not null,
  community_id bigint  not null,
  slug         text    not null,
  name         text    not null,
  chain_id     bigint  not null,                   -- EIP-155
  address      text    not null,                   -- of the contract
  is_default   boolean not null default false,     -- what /chat/{token} means on this deployment
  created_at   timestamptz not null,
  constraint collection_pk primary key (id),
  constraint collection_community_fk foreign key (community_id) references community (id),
  constraint collection_slug_key unique (slug),
  constraint collection_contract_key unique (chain_id, address),
  constraint collection_slug_form check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  constraint collection_address_form check (address ~ '^0x[0-9a-fA-F]{40}$'),
  constraint collection_name_length check (char_length(name) between 1 and 80)
);
create unique index collection_one_default on collection (is_default) where is_default;
create index collection_of_community on collection (community_id);

-- A token that speaks.
create table agent (
  id             bigint  not null,
  collection_id  bigint  not null,
  token_id       text    not null,                 -- decimal, without leading zeros: up to 256 bits
  name           text    not null,
  description    text    not null default '',
  image          text,                             -- a path of ours or a data image; never a foreign host's
  traits         jsonb   not null default '[]',    -- [["trait", "value"], …] in the metadata's order
  overrides      jsonb   not null default '{}',    -- what its community says instead of what is derived
  version        int     not null default 1,       -- of the personality: grows when traits or overrides change
  holder_only    boolean not null default false,   -- only its holder may talk to it
  public_history boolean not null default false,   -- conversations may be read without a login
  created_at     timestamptz not null,
  constraint agent_pk primary key (id),
  constraint agent_collection_fk foreign key (collection_id) references collection (id),
  constraint agent_token_key unique (collection_id, token_id),
  constraint agent_token_form check (token_id ~ '^(0|[1-9][0-9]{0,77})$'),
  constraint agent_name_length check (char_length(name) between 1 and 80),
  constraint agent_description_length check (char_length(description) <= 2000),
  constraint agent_traits_list check (jsonb_typeof(traits) = 'array' and octet_length(traits::text) <= 16384),
  constraint agent_overrides_object check (jsonb_typeof(overrides) = 'object' and octet_length(overrides::text) <= 4096),
  constraint agent_version_range check (version >= 1)
);

-- What a wallet holds in a community, as a tier. Without a row: tier 1. Written by whoever reads the chain.
create table holding (
  community_id bigint   not null,
  wallet       text     not null,
  tier         smallint not null,
  verified_at  timestamptz,                        -- older than 48 h counts as tier 1; null: given by hand, until changed
  constraint holding_pk primary key (community_id, wallet),
  constraint holding_community_fk foreign key (community_id) references community (id),
  constraint holding_wallet_form check (wallet ~ '^0x[0-9a-fA-F]{40}$'),
  constraint holding_tier_range check (tier between 1 and 9)
);

-- A wallet's account in a community, opened when it is first needed.
create table member (
  community_id bigint not null,
  wallet       text   not null,
  account_id   bigint not null,
  joined_at    timestamptz not null,
  constraint member_pk primary key (community_id, wallet),
  constraint member_community_fk foreign key (community_id) references community (id),
  constraint member_account_key unique (community_id, account_id),
  constraint member_wallet_form check (wallet ~ '^0x[0-9a-fA-F]{40}$')
);
create index member_of_wallet on member (wallet);

-- All that the engine reads of us: what a personality is derived from.
create view finn_agents as
select collection.slug, agent.token_id, agent.version, agent.name, agent.traits, agent.overrides
from agent join collection on collection.id = agent.collection_id;

grant select, insert, update on collection, agent, holding to freeside_app;
grant select, insert on member to freeside_app;
grant select, insert, delete on community_admin to freeside_app;
grant select on finn_agents to loa_finn_ro, freeside_app;
