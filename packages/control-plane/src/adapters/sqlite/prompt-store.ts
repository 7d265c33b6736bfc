/** A session's prompts in the object's SQLite, in the order in which they were asked. It decides nothing and knows neither bridge nor browser. */
import {
  type Attachment,
  attachmentSchema,
  type Person,
  type PromptHead,
  type PromptStatus,
  personSchema,
  type Usage,
  usageSchema,
} from "@open-inspect/protocol";
import { z } from "zod";
import { type QueuedPrompt } from "../../domain/prompt-queue.ts";

export interface NewPrompt {
  id: string;
  text: string;
  model: string | null;
  author: Person | null;
  attachments: Attachment[];
  createdAt: number;
}

/** A prompt with what the queue knows of it; `usage` is what it has cost so far. */
export interface StoredPrompt extends QueuedPrompt {
  head: PromptHead;
  /** the change that browsers were told last */
  cursor: number;
}

export interface PromptStore {
  add(prompt: NewPrompt, cursor: number): void;
  find(id: string): StoredPrompt | null;
  /** those that run or wait */
  open(): StoredPrompt[];
  list(): StoredPrompt[];
  save(prompt: StoredPrompt): void;
  totals(): { isWorking: boolean; promptCount: number; usage: Usage | null; firstPrompt: string | null };
}

type Row = {
  id: string;
  text: string;
  model: string | null;
  author: string | null;
  attachments: string;
  status: string;
  error: string | null;
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  usage: string | null;
  sent_to: string | null;
  has_begun: number;
  stop_by: number | null;
  cursor: number;
};

export function createPromptStore(sql: SqlStorage): PromptStore {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS session_prompts (
      place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, model TEXT, author TEXT, attachments TEXT NOT NULL,
      status TEXT NOT NULL, error TEXT, created_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, usage TEXT,
      sent_to TEXT, has_begun INTEGER NOT NULL DEFAULT 0, stop_by INTEGER, cursor INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS session_prompts_open ON session_prompts (place) WHERE status IN ('queued', 'running');
  `);

  const toPrompt = (row: Row): StoredPrompt => ({
    id: row.id,
    status: row.status as PromptStatus,
    sentTo: row.sent_to,
    hasBegun: row.has_begun === 1,
    stopBy: row.stop_by,
    cursor: row.cursor,
    head: {
      id: row.id,
      author: row.author === null ? null : personSchema.parse(JSON.parse(row.author)),
      text: row.text,
      model: row.model,
      attachments: z.array(attachmentSchema).parse(JSON.parse(row.attachments)),
      status: row.status as PromptStatus,
      error: row.error,
      createdAt: row.created_at,
      startedAt: row.started_at,
      finishedAt: row.finished_at,
      usage: usageOf(row.usage),
    },
  });

  return {
    add({ id, text, model, author, attachments, createdAt }, cursor) {
      sql.exec(
        `INSERT OR IGNORE INTO session_prompts (id, text, model, author, attachments, status, created_at, cursor)
           VALUES (?, ?, ?, ?, ?, 'queued', ?, ?)`,
        ...[id, text, model, author && JSON.stringify(author), JSON.stringify(attachments), createdAt, cursor],
      );
    },
    find(id) {
      const [row] = sql.exec<Row>("SELECT * FROM session_prompts WHERE id = ?", id).toArray();
      return row ? toPrompt(row) : null;
    },
    open: () =>
      sql.exec<Row>("SELECT * FROM session_prompts WHERE status IN ('queued', 'running') ORDER BY place").toArray().map(toPrompt),
    list: () => sql.exec<Row>("SELECT * FROM session_prompts ORDER BY place").toArray().map(toPrompt),
    save({ id, status, sentTo, hasBegun, stopBy, cursor, head }) {
      sql.exec(
        `UPDATE session_prompts SET text = ?, model = ?, status = ?, error = ?, started_at = ?, finished_at = ?, usage = ?,
           sent_to = ?, has_begun = ?, stop_by = ?, cursor = ? WHERE id = ?`,
        ...[head.text, head.model, status, head.error, head.startedAt, head.finishedAt, head.usage && JSON.stringify(head.usage)],
        ...[sentTo, hasBegun ? 1 : 0, stopBy, cursor, id],
      );
    },
    totals() {
      const sums = usageKeys.map((key) => `sum(json_extract(usage, '$.${key}')) AS ${key}`).join(", ");
      const { all, open, first, priced, ...usage } = sql
        .exec<Record<keyof Usage, number> & { all: number; open: number; first: string | null; priced: number }>(
          `SELECT count(*) AS "all", count(*) FILTER (WHERE status IN ('queued', 'running')) AS open, count(usage) AS priced,
             (SELECT text FROM session_prompts ORDER BY place LIMIT 1) AS first, ${sums} FROM session_prompts`,
        )
        .one();
      return { isWorking: open > 0, promptCount: all, usage: priced > 0 ? usageSchema.parse(usage) : null, firstPrompt: first };
    },
  };
}

const usageKeys = Object.keys(usageSchema.shape);
const usageOf = (json: string | null): Usage | null => (json === null ? null : usageSchema.parse(JSON.parse(json)));
