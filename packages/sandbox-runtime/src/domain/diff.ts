/** From git's own words to a diff that fits into one frame. Pure: text in, data out. */
import { type ChangedFile, diffFilesMax, diffMaxBytes, type WorkspaceDiff } from "@open-inspect/protocol";
import { utf8Bytes } from "./text.ts";

/** A file as git counts it. `lines` null: binary. */
export interface FileChange {
  path: string;
  from?: string;
  change: ChangedFile["change"];
  lines: { additions: number; deletions: number } | null;
  /** pieces that git's patch has for it */
  sections: number;
}

const changes: Record<string, ChangedFile["change"]> = { A: "added", D: "deleted", R: "renamed", C: "added" };

/** Reads `git diff --raw --numstat -z`. What is unmerged shows as modified. */
export function parseChanges(output: string): FileChange[] {
  const tokens = output.split("\0");
  const files = new Map<string, FileChange>();
  for (let at = 0; at < tokens.length - 1; ) {
    const token = tokens[at++] ?? "";
    const raw = /^:\d+ \d+ \S+ \S+ ([A-Z])\d*$/.exec(token);
    if (raw) {
      const letter = raw[1] ?? "M";
      const first = tokens[at++] ?? "";
      const isPair = letter === "R" || letter === "C";
      const path = isPair ? (tokens[at++] ?? "") : first;
      if (letter === "U") continue;
      const change = changes[letter] ?? "modified";
      const from = letter === "R" ? { from: first } : {};
      // A file that became a link is taken away and made anew.
      files.set(path, { path, ...from, change, lines: null, sections: letter === "T" ? 2 : 1 });
      continue;
    }
    const [additions = "", deletions = "", name = ""] = token.split("\t");
    let path = name;
    if (path === "") {
      at++;
      path = tokens[at++] ?? "";
    }
    const file = files.get(path);
    if (file && additions !== "-") file.lines = { additions: Number(additions), deletions: Number(deletions) };
  }
  return [...files.values()];
}

/** The hunks of each piece of a patch, in its order; null for a binary one. */
export function parsePatch(patch: string): (string | null)[] {
  // Within hunks every line begins with one of four other characters.
  const sections = patch.split(/^diff --git .*\n/m).slice(1);
  return sections.map((section) => {
    if (/^(Binary files |GIT binary patch)/m.test(section) && !/^@@ /m.test(section)) return null;
    const from = section.search(/^@@ /m);
    return from < 0 ? "" : section.slice(from).replace(/^\* Unmerged path .*\n?/gm, "");
  });
}

/** Hunks of a file that git does not know; null for a binary one. */
export function newFileHunks(text: string): { hunks: string | null; additions: number } {
  if (text.slice(0, 8_000).includes("\0")) return { hunks: null, additions: 0 };
  if (text === "") return { hunks: "", additions: 0 };
  const isEnded = text.endsWith("\n");
  const lines = (isEnded ? text.slice(0, -1) : text).split("\n");
  const range = lines.length === 1 ? "1" : `1,${lines.length}`;
  const end = isEnded ? "" : "\\ No newline at end of file\n";
  return { hunks: `@@ -0,0 +${range} @@\n${lines.map((line) => `+${line}\n`).join("")}${end}`, additions: lines.length };
}

const envelopeBytes = 1_024;
const fileBytes = (file: ChangedFile): number => utf8Bytes(JSON.stringify(file)) + 1;

/** Leaves out hunks, the largest first, then files, until it fits. @param isCut something was left out already */
export function fitDiff(base: string, all: readonly ChangedFile[], isCut: boolean): WorkspaceDiff {
  const sum = (name: "additions" | "deletions") => all.reduce((total, file) => total + file[name], 0);
  const sorted = all.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  let files = sorted.slice(0, diffFilesMax);
  let bytes = envelopeBytes + files.reduce((total, file) => total + fileBytes(file), 0);
  const bySize = files.map((file, index) => ({ index, size: fileBytes(file) })).toSorted((a, b) => b.size - a.size);
  for (const { index, size } of bySize) {
    const file = files[index];
    if (bytes <= diffMaxBytes || !file || file.hunks === null) continue;
    const bare = { ...file, hunks: null };
    files[index] = bare;
    bytes += fileBytes(bare) - size;
    isCut = true;
  }
  while (bytes > diffMaxBytes) {
    const last = files.at(-1);
    if (!last) break;
    bytes -= fileBytes(last);
    files = files.slice(0, -1);
  }
  return { base, files, additions: sum("additions"), deletions: sum("deletions"), isCut: isCut || files.length < all.length };
}
