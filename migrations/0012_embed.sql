-- Which pages may hold a community's chat in a frame: the exact origins, one row each. Owned by crates/domain.
--
-- A row is the right; taking it away deletes the row, and `admin_action` remembers both. What a browser writes as an
-- origin is checked where it is read in; the check here keeps out what could end a header.

create table embed_origin (
  community_id bigint not null,
  origin       text   not null,                    -- scheme, host and port as a browser writes them
  added_by     text   not null,                    -- who, as admin_action says it
  at           timestamptz not null,
  constraint embed_origin_pk primary key (community_id, origin),
  constraint embed_origin_community_fk foreign key (community_id) references community (id),
  constraint embed_origin_form check (origin ~ '^https?://[a-z0-9.-]{1,253}(:[1-9][0-9]{0,4})?$')
);

grant select, insert, delete on embed_origin to freeside_app;
