/** The core's schema. Entry n upgrades it from version n to n + 1. Never edit a released entry. */
export const migrations: readonly string[] = [
  `
  CREATE TABLE chats (
    id TEXT PRIMARY KEY,
    last_message_at INTEGER NOT NULL,
    -- context messages, since the last prompt
    omitted INTEGER NOT NULL DEFAULT 0
  ) STRICT;

  CREATE TABLE groups (
    folder TEXT PRIMARY KEY,
    chat_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    is_main INTEGER NOT NULL,
    requires_trigger INTEGER NOT NULL,
    uid INTEGER NOT NULL UNIQUE
  ) STRICT;
  CREATE UNIQUE INDEX groups_main ON groups (is_main) WHERE is_main = 1;

  CREATE TABLE turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'stopped')),
    -- times it was started; of these, times it failed by itself
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    cost_usd REAL NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE UNIQUE INDEX turns_open ON turns (agent_id) WHERE state IN ('queued', 'running');

  -- Open while handled_at is null.
  CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    chat_id TEXT NOT NULL,
    id TEXT NOT NULL,
    sender_id TEXT NOT NULL,
    sender_name TEXT NOT NULL,
    text TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    quote TEXT,
    attachments TEXT,
    wakes INTEGER NOT NULL,
    turn_id INTEGER,
    prompt_uuid TEXT,
    handled_at INTEGER,
    UNIQUE (chat_id, id)
  ) STRICT;
  CREATE INDEX messages_open ON messages (chat_id, wakes, seq) WHERE handled_at IS NULL;
  CREATE INDEX messages_turn ON messages (turn_id) WHERE turn_id IS NOT NULL;

  -- out_mark: highest number of an out file whose effect is committed
  CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_id TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    out_mark INTEGER NOT NULL DEFAULT 0,
    ended_at INTEGER,
    reason TEXT,
    detail TEXT
  ) STRICT;
  CREATE INDEX runs_open ON runs (id) WHERE ended_at IS NULL;

  -- turns: answered in the session
  CREATE TABLE sessions (
    agent_id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    total_cost_usd REAL NOT NULL DEFAULT 0,
    turns INTEGER NOT NULL DEFAULT 0
  ) STRICT;

  CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    chat_id TEXT NOT NULL,
    turn_id INTEGER,
    text TEXT NOT NULL,
    file TEXT,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'acknowledged', 'refused')),
    ended_at INTEGER
  ) STRICT;
  CREATE INDEX outbox_pending ON outbox (chat_id, seq) WHERE state = 'pending';
  CREATE INDEX outbox_turn ON outbox (turn_id) WHERE turn_id IS NOT NULL;
  `,
  `
  ALTER TABLE chats ADD COLUMN name TEXT;
  -- ids of senders, or null for everybody
  ALTER TABLE groups ADD COLUMN triggered_by TEXT;
  ALTER TABLE outbox ADD COLUMN about TEXT;
  ALTER TABLE outbox ADD COLUMN is_reaction INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- What agents reached outside. day: the host's own date; turn_id 0: outside of any turn
  CREATE TABLE ledger (
    day TEXT NOT NULL,
    folder TEXT NOT NULL,
    turn_id INTEGER NOT NULL,
    host TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    bytes_up INTEGER NOT NULL,
    bytes_down INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (day, folder, turn_id, host, allowed)
  ) STRICT;
  `,
  "CREATE INDEX outbox_files ON outbox (chat_id) WHERE file <> 'null'",
  `
  CREATE TABLE groups_with_or_without_chat (
    folder TEXT PRIMARY KEY,
    chat_id TEXT UNIQUE,
    name TEXT NOT NULL,
    is_main INTEGER NOT NULL,
    requires_trigger INTEGER NOT NULL,
    -- a JSON list of senders' ids, or null for everybody
    triggered_by TEXT NOT NULL,
    uid INTEGER NOT NULL UNIQUE
  ) STRICT;
  INSERT INTO groups_with_or_without_chat SELECT folder,
    iif(chat_id LIKE 'none:%', NULL, chat_id), name, is_main, requires_trigger,
    coalesce(triggered_by, 'null'), uid FROM groups;
  DROP TABLE groups;
  ALTER TABLE groups_with_or_without_chat RENAME TO groups;
  CREATE UNIQUE INDEX groups_main ON groups (is_main) WHERE is_main = 1;
  -- Only a terminal could open a group without a chat: what was said there waits for one.
  UPDATE OR REPLACE chats SET id = 'terminal:' || substr(id, 6) WHERE id LIKE 'none:%';
  UPDATE messages SET chat_id = 'terminal:' || substr(chat_id, 6) WHERE chat_id LIKE 'none:%';
  UPDATE outbox SET chat_id = 'terminal:' || substr(chat_id, 6) WHERE chat_id LIKE 'none:%';

  -- A group's own agent has its inbox and its voice (JSON) in the group's chat: both are null.
  -- tools: a JSON list, or null for all that its group may use
  CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    folder TEXT NOT NULL REFERENCES groups (folder),
    inbox TEXT UNIQUE,
    voice TEXT,
    tools TEXT,
    model TEXT
  ) STRICT;
  CREATE UNIQUE INDEX agents_own ON agents (folder) WHERE inbox IS NULL;
  INSERT INTO agents (id, folder) SELECT folder, folder FROM groups;

  -- messages.chat_id: the inbox in which it lies
  ALTER TABLE messages ADD COLUMN sender_kind TEXT NOT NULL DEFAULT 'person'
    CHECK (sender_kind IN ('person', 'clock', 'agent', 'host'));
  ALTER TABLE messages ADD COLUMN role TEXT NOT NULL DEFAULT 'context'
    CHECK (role IN ('wakes', 'context', 'command'));
  UPDATE messages SET role = 'wakes' WHERE wakes = 1;
  DROP INDEX messages_open;
  ALTER TABLE messages DROP COLUMN wakes;
  CREATE INDEX messages_open ON messages (chat_id, role, seq) WHERE handled_at IS NULL;

  ALTER TABLE turns DROP COLUMN kind;

  -- What the owner was told unasked; topic: what is counted together
  CREATE TABLE notices (
    key TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    told_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX notices_topic ON notices (topic, told_at);

  -- Of the core, PRAGMA user_version is the version
  CREATE TABLE feature_versions (
    feature TEXT PRIMARY KEY,
    version INTEGER NOT NULL
  ) STRICT;
  `,
  `
  -- lane: the host's own words overtake those of agents. reason and told_at: of a refusal, and when
  -- the chat was told of it
  CREATE TABLE outbox_in_lanes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    chat_id TEXT NOT NULL,
    lane TEXT NOT NULL CHECK (lane IN ('host', 'agent')),
    turn_id INTEGER,
    text TEXT NOT NULL,
    file TEXT,
    about TEXT,
    is_reaction INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'pending'
      CHECK (state IN ('pending', 'acknowledged', 'refused', 'withdrawn')),
    reason TEXT,
    told_at INTEGER,
    ended_at INTEGER
  ) STRICT;
  INSERT INTO outbox_in_lanes (seq, id, chat_id, lane, turn_id, text, file, about, is_reaction,
      state, told_at, ended_at)
    SELECT seq, id, chat_id, iif(turn_id IS NULL, 'host', 'agent'), turn_id, text, file, about,
      is_reaction, state, ended_at, ended_at FROM outbox;
  DROP TABLE outbox;
  ALTER TABLE outbox_in_lanes RENAME TO outbox;
  CREATE INDEX outbox_pending ON outbox (chat_id, lane, seq) WHERE state = 'pending';
  CREATE INDEX outbox_turn ON outbox (turn_id) WHERE turn_id IS NOT NULL;
  CREATE INDEX outbox_files ON outbox (chat_id) WHERE file <> 'null';
  CREATE INDEX outbox_untold ON outbox (chat_id) WHERE state = 'refused' AND told_at IS NULL;

  -- What the channel delivers of an outgoing message, made when its delivery begins. sent_as: the id
  -- by which people's messages refer to it
  CREATE TABLE pieces (
    id TEXT PRIMARY KEY,
    outbox_id TEXT NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    sent_as TEXT NOT NULL,
    text TEXT NOT NULL,
    file TEXT,
    is_sent INTEGER NOT NULL DEFAULT 0,
    UNIQUE (outbox_id, number)
  ) STRICT;
  CREATE INDEX pieces_sent_as ON pieces (sent_as);
  `,
  `
  -- What agents ask the owner for. outbox_id: the message that shows it, null before there is one
  CREATE TABLE approvals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_id TEXT NOT NULL,
    command TEXT NOT NULL,
    args TEXT NOT NULL,
    shown TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending'
      CHECK (state IN ('pending', 'approved', 'rejected', 'refused', 'expired')),
    asked_at INTEGER NOT NULL,
    ended_at INTEGER,
    outbox_id TEXT
  ) STRICT;
  CREATE INDEX approvals_open ON approvals (id) WHERE state = 'pending';
  CREATE INDEX approvals_shown ON approvals (outbox_id) WHERE outbox_id IS NOT NULL;
  CREATE INDEX approvals_asked ON approvals (agent_id, id);

  -- What goes with a group whose row is deleted; features have triggers of their own
  CREATE TRIGGER groups_end AFTER DELETE ON groups BEGIN
    UPDATE messages SET handled_at = sent_at WHERE chat_id = old.chat_id AND handled_at IS NULL;
    DELETE FROM outbox WHERE chat_id = old.chat_id AND state = 'pending';
    DELETE FROM agents WHERE folder = old.folder;
  END;
  CREATE TRIGGER agents_end AFTER DELETE ON agents BEGIN
    DELETE FROM sessions WHERE agent_id = old.id;
    UPDATE messages SET handled_at = sent_at
      WHERE chat_id = 'agent:' || old.id AND handled_at IS NULL;
    UPDATE approvals SET state = 'expired', ended_at = asked_at
      WHERE agent_id = old.id AND state = 'pending';
  END;
  `,
  `
  -- origin: whose words the text is. mentions: a JSON list of the accounts that it mentions
  ALTER TABLE messages ADD COLUMN origin TEXT NOT NULL DEFAULT 'typed'
    CHECK (origin IN ('typed', 'caption', 'forwarded', 'described'));
  ALTER TABLE messages ADD COLUMN mentions TEXT NOT NULL DEFAULT '[]';
  -- Names were not cleaned when they were stored. They are learned again.
  UPDATE chats SET name = NULL;
  `,
];
