-- Chat: what people asked agents, and the answers as they grew. Owned by crates/domain; tickets by crates/identity.
--
-- A turn is written down before its money is set aside, under the id that its hold will have: whoever finds it unfinished
-- after a crash looks that hold up and knows what was charged.

create table chat_turn (
  id            uuid     not null,                 -- version 7; the hold's id too
  wallet        text     not null,                 -- who asked, EIP-55
  request_id    uuid     not null,                 -- chosen by the client: the same one again is the same question
  agent_id      bigint   not null,
  community_id  bigint   not null,                 -- with the account: who pays
  account_id    bigint   not null,
  question      text     not null,
  requested     smallint,                          -- the pool that was asked for: 0 cheap … 4 flagship
  owner_id      int      not null,                 -- the process that runs it; its lease says whether it still does
  state         smallint not null default 0,       -- 0 asked 1 streaming 2 done 3 stopped by its asker 4 broken 5 refused
  cancel_at     timestamptz,                       -- its asker wants it stopped; read by the process that runs it
  pool          smallint,                          -- what answers
  model         text,
  personality   text,                              -- {slug}:{token}@{version}
  reason        text,                              -- why that pool and model
  last_seq      int      not null default 0,       -- of the newest frame that is stored
  finish_reason text,
  note          text,                              -- why it ended early, where that is ours to say
  code          text,                              -- of 4 and 5: a stable word
  message       text,                              -- of 4 and 5: for a person
  tokens_in     bigint   not null default 0,
  tokens_out    bigint   not null default 0,
  cost_micro    bigint   not null default 0,
  feedback      smallint,                          -- 1 good, -1 bad, by its asker
  asked_at      timestamptz not null,
  ended_at      timestamptz,
  constraint chat_turn_pk primary key (id),
  constraint chat_turn_request_key unique (wallet, request_id),
  constraint chat_turn_agent_fk foreign key (agent_id) references agent (id),
  constraint chat_turn_question_length check (octet_length(question) between 1 and 4096),
  constraint chat_turn_state_known check (state between 0 and 5),
  constraint chat_turn_ended_says check ((state >= 2) = (ended_at is not null)),
  constraint chat_turn_broken_says check ((state >= 4) = (code is not null)),
  constraint chat_turn_figures check (tokens_in >= 0 and tokens_out >= 0 and cost_micro >= 0 and last_seq >= 0),
  constraint chat_turn_feedback_known check (feedback in (-1, 1))
) with (fillfactor = 80);
-- A conversation: one agent and one person, newest last. Not on any column that changes while a turn streams.
create index chat_turn_conversation on chat_turn (agent_id, wallet, id);
create index chat_turn_of_agent on chat_turn (agent_id, id);
-- What runs: few rows, looked at when a process starts and when another one died.
create index chat_turn_running on chat_turn (owner_id) where state < 2;

-- The answer's text, a few hundred milliseconds of it in each row. One element is one frame: `first_seq` is the number of
-- the first. Kept for ever: it is the history.
create table chat_chunk (
  turn_id   uuid   not null,
  first_seq int    not null,
  pieces    text[] not null,
  constraint chat_chunk_pk primary key (turn_id, first_seq),
  constraint chat_chunk_turn_fk foreign key (turn_id) references chat_turn (id),
  constraint chat_chunk_seq_range check (first_seq >= 2),
  constraint chat_chunk_not_empty check (cardinality(pieces) >= 1)
);

-- Who lets their conversations with an agent be read without a login. It takes this and the agent's own `public_history`.
create table chat_share (
  agent_id bigint not null,
  wallet   text   not null,
  at       timestamptz not null,
  constraint chat_share_pk primary key (agent_id, wallet),
  constraint chat_share_agent_fk foreign key (agent_id) references agent (id)
);

-- A one-time ticket that opens a socket for a session, so that no credential stands in an address. Only its hash is here.
create table ws_ticket (
  id         bytea not null,                       -- SHA-256 of the ticket
  session_id uuid  not null,
  wallet     bytea not null,
  expires_at timestamptz not null,
  constraint ws_ticket_pk primary key (id),
  constraint ws_ticket_id_length check (octet_length(id) = 32),
  constraint ws_ticket_wallet_length check (octet_length(wallet) = 20)
);
create index ws_ticket_expires on ws_ticket (expires_at);

grant select, insert on chat_turn, chat_chunk to freeside_app;
grant update (state, cancel_at, pool, model, personality, reason, last_seq, finish_reason, note, code, message, tokens_in,
              tokens_out, cost_micro, feedback, ended_at) on chat_turn to freeside_app;
grant select, insert, delete on chat_share, ws_ticket to freeside_app;
