-- Answers to inference requests that carried an Idempotency-Key (SPEC §14). Owned by crates/domain.
--
-- A row is inserted before the engine is asked, under the id that the turn's hold will have. Whoever finds it in flight
-- after its process died looks that hold up: charged, the row stays and says that the answer is lost; not charged, the row
-- goes and the key is free.
--
-- Bounds. A row lives 24 hours; a job of each worker deletes older ones every minute, by the index on age. An account keeps
-- at most 10,000 answers and 64 MiB of them, each of at most 1 MiB: past that a row has no answer (some 200 bytes). Rows of
-- an account are requests that were answered, so its requests per minute bound them.
create table kept_answer (
  community_id   bigint   not null,
  account_id     bigint   not null,                 -- with the community: who pays, and whose key it is
  key            text     not null,                 -- the caller's own
  input_hash     bytea    not null,                 -- SHA-256 of everything that decides the answer
  reservation_id uuid     not null,                 -- of the hold that pays for it
  request_id     text     not null,                 -- in our logs, and in what a retry is told
  owner_id       int      not null,                 -- the process that answers; its lease says whether it still does
  state          smallint not null default 0,       -- 0 in flight 1 kept 2 charged and not kept
  status         smallint,                          -- of 1: the HTTP status
  headers        text,                              -- of 1: a JSON list of [name, value]
  body           bytea,                             -- of 1: the bytes as they were sent; never logged
  created_at     timestamptz not null,
  constraint kept_answer_pk primary key (community_id, account_id, key),
  constraint kept_answer_key_length check (octet_length(key) between 1 and 255),
  constraint kept_answer_hash_is_sha256 check (octet_length(input_hash) = 32),
  constraint kept_answer_state_known check (state between 0 and 2),
  constraint kept_answer_kept_says check (
    (state = 1) = (status is not null) and (state = 1) = (headers is not null) and (state = 1) = (body is not null)),
  constraint kept_answer_body_bound check (octet_length(body) <= 1048576)
);
-- What runs: few rows, looked at when a process died.
create index kept_answer_in_flight on kept_answer (owner_id) where state = 0;
-- What an account keeps, to see whether there is room for one more.
create index kept_answer_kept on kept_answer (community_id, account_id) where state = 1;
create index kept_answer_by_age on kept_answer (created_at);

grant select, insert, update, delete on kept_answer to freeside_app;
