/**
 * A session's prompts and the parts of their answers in the object's SQLite. A part has its place from its first delta on and
 * is marked as growing until it comes whole. It knows neither bridge nor browser.
 */
import { type PromptPart, type PromptView, promptPartSchema } from "@open-inspect/protocol";

export interface PromptStore {
  add(prompt: { id: string; text: string; model: string | null; createdAt: number }): void;
  /** prompts that the runtime has not begun */
  queued(): PromptView[];
  started(promptId: string): void;
  grew(promptId: string, partId: string, kind: "text" | "reasoning", delta: string): void;
  /** a whole part without text takes back what was said of it: its answer was cut off and is given anew */
  part(promptId: string, part: PromptPart): void;
  /** `done`: what never came whole was given up and is left out. Else it is kept: there will be no better answer. */
  finished(promptId: string, outcome: "done" | "aborted" | "failed", error: string | null, at: number): void;
  /** every prompt has exactly one end, also when its session ends first */
  endAll(error: string, at: number): void;
  list(): PromptView[];
}

type PromptRow = {
  id: string;
  text: string;
  model: string | null;
  status: string;
  error: string | null;
  created_at: number;
  finished_at: number | null;
};

export function createPromptStore(sql: SqlStorage): PromptStore {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS prompts (
      id TEXT PRIMARY KEY, text TEXT NOT NULL, model TEXT, status TEXT NOT NULL, error TEXT, created_at INTEGER NOT NULL, finished_at INTEGER
    );
    CREATE TABLE IF NOT EXISTS parts (
      position INTEGER PRIMARY KEY AUTOINCREMENT, prompt_id TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, UNIQUE (prompt_id, id)
    );
  `);

  /** Every part of the answer in the order in which they began. */
  function knownParts(promptId: string): PromptPart[] {
    return sql
      .exec<{ json: string }>("SELECT json FROM parts WHERE prompt_id = ? ORDER BY position", promptId)
      .toArray()
      .map((row) => promptPartSchema.parse(JSON.parse(row.json)));
  }

  function save(promptId: string, part: PromptPart & { growing?: true }): void {
    sql.exec(
      "INSERT INTO parts (prompt_id, id, json) VALUES (?, ?, ?) ON CONFLICT (prompt_id, id) DO UPDATE SET json = excluded.json",
      promptId,
      part.id,
      JSON.stringify(part),
    );
  }

  const toView = (row: PromptRow): PromptView => ({
    id: row.id,
    text: row.text,
    model: row.model,
    author: null,
    attachments: [],
    startedAt: null,
    usage: null,
    status: row.status as PromptView["status"],
    parts: knownParts(row.id).filter((part) => part.kind === "tool" || part.text !== ""),
    error: row.error,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
  });

  return {
    add({ id, text, model, createdAt }) {
      sql.exec(
        "INSERT OR IGNORE INTO prompts (id, text, model, status, created_at) VALUES (?, ?, ?, 'queued', ?)",
        id,
        text,
        model,
        createdAt,
      );
    },
    queued: () =>
      sql.exec<PromptRow>("SELECT * FROM prompts WHERE status = 'queued' ORDER BY created_at, id").toArray().map(toView),
    started: (promptId) => void sql.exec("UPDATE prompts SET status = 'running' WHERE id = ? AND status = 'queued'", promptId),
    grew(promptId, partId, kind, delta) {
      const [row] = sql
        .exec<{ json: string }>("SELECT json FROM parts WHERE prompt_id = ? AND id = ?", promptId, partId)
        .toArray();
      const known = row && promptPartSchema.parse(JSON.parse(row.json));
      const text = known && known.kind !== "tool" ? known.text : "";
      save(promptId, { kind, id: partId, text: text + delta, growing: true });
    },
    part: save,
    finished(promptId, outcome, error, at) {
      if (outcome === "done") sql.exec("DELETE FROM parts WHERE prompt_id = ? AND json_extract(json, '$.growing')", promptId);
      sql.exec(
        "UPDATE prompts SET status = ?, error = ?, finished_at = ? WHERE id = ? AND finished_at IS NULL",
        outcome === "aborted" ? "stopped" : outcome,
        error,
        at,
        promptId,
      );
    },
    endAll(error, at) {
      sql.exec("UPDATE prompts SET status = 'failed', error = ?, finished_at = ? WHERE finished_at IS NULL", error, at);
    },
    list: () => sql.exec<PromptRow>("SELECT * FROM prompts ORDER BY created_at, id").toArray().map(toView),
  };
}
