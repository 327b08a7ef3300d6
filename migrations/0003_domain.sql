-- Communities and developers: who the accounts of the ledger belong to. Owned by crates/domain.

create table community (
  id         bigint not null,
  slug       text   not null,                      -- in URLs
  name       text   not null,
  created_at timestamptz not null,
  constraint community_pk primary key (id),
  constraint community_slug_key unique (slug),
  constraint community_slug_form check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);

-- A developer's sign-up makes a community of its own, whose one account pays for the developer's keys.
create table developer (
  id           bigint not null,
  name         text   not null,
  community_id bigint not null,
  account_id   bigint not null,
  created_at   timestamptz not null,
  constraint developer_pk primary key (id),
  constraint developer_community_fk foreign key (community_id) references community (id),
  constraint developer_name_length check (char_length(name) between 1 and 80)
);

-- Sign-ups of the last hour, for the limit per address. Older rows are deleted on the way.
create table signup (
  id      bigint generated always as identity,
  address inet not null,
  at      timestamptz not null,
  constraint signup_pk primary key (id)
);
create index signup_by_address on signup (address, at);

grant select, insert, update on community, developer to freeside_app;
grant select, insert, delete on signup to freeside_app;
