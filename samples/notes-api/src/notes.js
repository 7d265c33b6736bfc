/** Notes in memory, newest first. */
export function createNotes() {
  const notes = [];
  return {
    add(text) {
      const note = { id: notes.length + 1, text };
      notes.unshift(note);
      return note;
    },
    list: () => [...notes],
  };
}
