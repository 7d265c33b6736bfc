/**
 * The parts of answers in the object's SQLite. A part keeps the place where it began. Text that still grows is stored as its deltas, so that
 * no change costs more than what is new; when the part comes whole, or its prompt ends, it is one row. It knows neither bridge nor browser.
 */
import { type PromptPart, promptPartSchema } from "@open-inspect/protocol";

export interface PartStore {
  grow(promptId: string, partId: string, kind: "text" | "reasoning", delta: string, cursor: number): void;
  /** @param json the part, serialised */
  put(promptId: string, part: PromptPart, json: string, cursor: number): void;
  /** What changed after `since`, whole and in the order in which the parts began. What was taken back is an empty text, also before it begins anew. */
  changed(promptId: string, since: number): PromptPart[];
  /** what is shown of the answer */
  list(promptId: string): PromptPart[];
  /** Every growing part becomes whole as it is. */
  settle(promptId: string, cursor: number): void;
  /** Takes back the growing parts, or all of them; what was taken back is returned. */
  takeBack(promptId: string, which: "growing" | "all", cursor: number): PromptPart[];
}

type Row = { place: number; id: string; json: string; growing: number; again: number };
interface Known {
  place: number;
  growing: boolean;
  /** taken back: what is said of it now begins at the end */
  gone: boolean;
}

const emptied = (part: PromptPart): PromptPart => ({ kind: part.kind === "tool" ? "text" : part.kind, id: part.id, text: "" });
const isShown = (part: PromptPart): boolean => part.kind === "tool" || part.text !== "";

export function createPartStore(sql: SqlStorage): PartStore {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS answer_parts (
      place INTEGER PRIMARY KEY AUTOINCREMENT, prompt_id TEXT NOT NULL, id TEXT NOT NULL, cursor INTEGER NOT NULL, growing INTEGER NOT NULL,
      again INTEGER NOT NULL DEFAULT 0, json TEXT NOT NULL, UNIQUE (prompt_id, id)
    );
    CREATE TABLE IF NOT EXISTS answer_deltas (
      place INTEGER NOT NULL, cursor INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (place, cursor)
    ) WITHOUT ROWID;
  `);
  /** where the parts of the running prompt are, so that a delta is one insert */
  const known = new Map<string, Known>();
  let knownOf: string | null = null;

  function find(promptId: string, partId: string): Known | null {
    if (knownOf !== promptId) {
      known.clear();
      knownOf = promptId;
      for (const row of sql.exec<{ place: number; id: string; growing: number; gone: number }>(
        `SELECT place, id, growing, growing = 0 AND coalesce(json_extract(json, '$.text') = '', 0) AS gone
           FROM answer_parts WHERE prompt_id = ?`,
        promptId,
      )) {
        known.set(row.id, { place: row.place, growing: row.growing === 1, gone: row.gone === 1 });
      }
    }
    return known.get(partId) ?? null;
  }

  function insert(promptId: string, partId: string, json: string, growing: boolean, cursor: number): number {
    const old = known.get(partId);
    if (old) sql.exec("DELETE FROM answer_parts WHERE place = ?", old.place);
    const { place } = sql
      .exec<{ place: number }>(
        "INSERT INTO answer_parts (prompt_id, id, cursor, growing, again, json) VALUES (?, ?, ?, ?, ?, ?) RETURNING place",
        promptId,
        partId,
        cursor,
        growing ? 1 : 0,
        old ? 1 : 0,
        json,
      )
      .one();
    known.set(partId, { place, growing, gone: false });
    return place;
  }

  function read(row: Row): PromptPart {
    const part = promptPartSchema.parse(JSON.parse(row.json));
    if (row.growing === 0 || part.kind === "tool") return part;
    const deltas = sql.exec<{ text: string }>("SELECT text FROM answer_deltas WHERE place = ? ORDER BY cursor", row.place);
    return { ...part, text: part.text + [...deltas].map(({ text }) => text).join("") };
  }

  const rowsOf = (promptId: string, where = ""): Row[] =>
    sql
      .exec<Row>(`SELECT place, id, json, growing, again FROM answer_parts WHERE prompt_id = ? ${where} ORDER BY place`, promptId)
      .toArray();

  function whole(promptId: string, row: Pick<Row, "place" | "id">, json: string, gone: boolean, cursor: number): void {
    sql.exec("UPDATE answer_parts SET json = ?, growing = 0, cursor = ? WHERE place = ?", json, cursor, row.place);
    sql.exec("DELETE FROM answer_deltas WHERE place = ?", row.place);
    if (knownOf === promptId) known.set(row.id, { place: row.place, growing: false, gone });
  }

  return {
    grow(promptId, partId, kind, delta, cursor) {
      let part = find(promptId, partId);
      if (!part || part.gone) {
        const place = insert(promptId, partId, JSON.stringify({ kind, id: partId, text: "" }), true, cursor);
        part = { place, growing: true, gone: false };
      } else if (!part.growing) {
        sql.exec("UPDATE answer_parts SET growing = 1 WHERE place = ?", part.place);
        part.growing = true;
      }
      sql.exec("INSERT INTO answer_deltas (place, cursor, text) VALUES (?, ?, ?)", part.place, cursor, delta);
    },
    put(promptId, part, json, cursor) {
      const old = find(promptId, part.id);
      const gone = !isShown(part);
      if (!old || old.gone) {
        if (!gone) insert(promptId, part.id, json, false, cursor);
      } else if (old.growing || gone) whole(promptId, { place: old.place, id: part.id }, json, gone, cursor);
      else sql.exec("UPDATE answer_parts SET json = ?, cursor = ? WHERE place = ?", json, cursor, old.place);
    },
    changed: (promptId, since) =>
      sql
        .exec<Row>(
          `SELECT place, id, json, growing, again FROM answer_parts p WHERE prompt_id = ?1
             AND (cursor > ?2 OR growing = 1 AND EXISTS (SELECT 1 FROM answer_deltas d WHERE d.place = p.place AND d.cursor > ?2))
           ORDER BY place`,
          promptId,
          since,
        )
        .toArray()
        .flatMap((row) => {
          const part = read(row);
          return row.again === 1 ? [emptied(part), part] : [part];
        }),
    list: (promptId) => rowsOf(promptId).map(read).filter(isShown),
    settle(promptId, cursor) {
      for (const row of rowsOf(promptId, "AND growing = 1")) whole(promptId, row, JSON.stringify(read(row)), false, cursor);
    },
    takeBack(promptId, which, cursor) {
      const rows = rowsOf(promptId, which === "growing" ? "AND growing = 1" : "");
      return rows.flatMap((row) => {
        const part = read(row);
        const empty = emptied(part);
        whole(promptId, row, JSON.stringify(empty), true, cursor);
        return isShown(part) ? [empty] : [];
      });
    },
  };
}
