/** Bytes of attachments in the object's SQLite, in pieces that fit into a row. It knows neither prompts nor requests. */
import { type Attachment, attachmentSchema } from "@open-inspect/protocol";

export interface AttachmentStore {
  /** The same id again changes nothing. */
  put(attachment: Attachment, bytes: Uint8Array): void;
  read(id: string): { attachment: Attachment; bytes: Uint8Array } | null;
}

const pieceBytes = 1024 * 1024;

export function createAttachmentStore(sql: SqlStorage): AttachmentStore {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS attachments (id TEXT PRIMARY KEY, json TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS attachment_pieces (id TEXT NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (id, number));
  `);
  return {
    put(attachment, bytes) {
      const { id } = attachment;
      if (sql.exec("SELECT 1 FROM attachments WHERE id = ?", id).toArray().length > 0) return;
      sql.exec("INSERT INTO attachments (id, json) VALUES (?, ?)", id, JSON.stringify(attachment));
      for (let from = 0, number = 0; from < bytes.byteLength; from += pieceBytes, number++) {
        sql.exec(
          "INSERT INTO attachment_pieces (id, number, bytes) VALUES (?, ?, ?)",
          id,
          number,
          bytes.slice(from, from + pieceBytes),
        );
      }
    },
    read(id) {
      const [row] = sql.exec<{ json: string }>("SELECT json FROM attachments WHERE id = ?", id).toArray();
      if (!row) return null;
      const attachment = attachmentSchema.parse(JSON.parse(row.json));
      const bytes = new Uint8Array(attachment.sizeBytes);
      let at = 0;
      for (const piece of sql.exec<{ bytes: ArrayBuffer }>(
        "SELECT bytes FROM attachment_pieces WHERE id = ? ORDER BY number",
        id,
      )) {
        bytes.set(new Uint8Array(piece.bytes), at);
        at += piece.bytes.byteLength;
      }
      return { attachment, bytes };
    },
  };
}
