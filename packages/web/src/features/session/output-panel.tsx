/** What boot and the repository's scripts have printed, phase by phase, as a terminal shows it. */
import { type SessionView } from "@open-inspect/protocol";
import { type LogBuffer } from "../../lib/log-lines.ts";
import { LogView } from "../../ui/log-view.tsx";

export function OutputPanel({ log, phases }: { log: LogBuffer; phases: SessionView["phases"] }) {
  return <LogView buffer={log} label="Session output" empty="Nothing printed yet." phases={phases} />;
}
