/** The object's one alarm, set to the next time that counts. Knows nothing of what it wakes for. */
export function setAlarm(ctx: DurableObjectState): (at: number | null) => void {
  return (at) => {
    // Not awaited: within one turn it is committed together with the rows that it belongs to.
    ctx.waitUntil(at === null ? ctx.storage.deleteAlarm() : ctx.storage.setAlarm(at));
  };
}
