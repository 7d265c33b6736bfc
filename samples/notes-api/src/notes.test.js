import assert from "node:assert/strict";
import test from "node:test";
import { createNotes } from "./notes.js";

test("lists the newest note first", () => {
  const notes = createNotes();
  notes.add("one");
  notes.add("two");
  assert.deepEqual(
    notes.list().map((note) => note.text),
    ["two", "one"],
  );
});
