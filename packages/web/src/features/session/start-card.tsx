/** How a session started: its receipt, the boot phases as they happen, the commits, and why it was cold. */
import { type Behind, type Phase, type PhaseRecord, type SessionView, type StartReceipt } from "@open-inspect/protocol";
import { Link } from "@tanstack/react-router";
import { Snowflake } from "lucide-react";
import { useNow } from "../../lib/clock.ts";
import { cn } from "../../lib/cn.ts";
import { describeReceipt, describeSetup, describeStart } from "../../lib/start-sentences.ts";
import { formatDuration } from "../../lib/time.ts";
import { isSessionEnded } from "../../lib/words.ts";
import { Age, Until } from "../../ui/age.tsx";
import { Commit } from "../../ui/commit.tsx";
import { Fact } from "../../ui/fact.tsx";
import { Hint } from "../../ui/hint.tsx";
import { Card } from "../../ui/page.tsx";
import { PhaseTimeline } from "../../ui/phase-timeline.tsx";

export function StartCard({ session }: { session: SessionView }) {
  const { receipt, cold } = session;
  const setup = describeSetup(session);
  const baked = session.bakedSha ?? session.image?.sha ?? null;
  return (
    <Card aria-label="Start">
      <div className="px-4 py-3.5">{receipt === null ? <Progress session={session} /> : <Receipt receipt={receipt} />}</div>
      {cold === null ? null : (
        <div data-cold={cold.code} className="flex items-start gap-2.5 border-line border-t px-4 py-3 text-sm">
          <Snowflake aria-hidden="true" className="mt-0.5 size-4 shrink-0 text-accent" />
          <div className="min-w-0 break-words">
            <p>{cold.message}</p>
            {cold.hint ? (
              <p className="text-muted">
                <Hint text={cold.hint} />
              </p>
            ) : null}
          </div>
        </div>
      )}
      <div className="border-line border-t px-4 py-2.5">
        {session.phases.length === 0 ? (
          <p className="py-1.5 text-muted text-sm">No phase has begun yet.</p>
        ) : (
          <PhaseTimeline phases={tellWait(session.phases)} from={startOf(session)} told={session.failure?.message} />
        )}
      </div>
      <dl className="grid grid-cols-2 gap-x-6 gap-y-3 border-line border-t px-4 py-3.5 text-sm">
        <Fact name="Started from">
          <StartedFrom session={session} />
        </Fact>
        <Fact name="Baked commit">{baked === null ? "none" : <Commit sha={baked} />}</Fact>
        <Fact name="Synced commit">{session.syncedSha === null ? "not yet" : <Commit sha={session.syncedSha} />}</Fact>
        {session.behind == null ? null : (
          <Fact name="Behind before the sync">{describeBehind(session.behind, session.createdAt)}</Fact>
        )}
        <Fact name="Setup" className="col-span-2">
          {setup ?? "not known yet"}
        </Fact>
        {session.snapshot === null ? null : (
          <Fact name="Saved" className="col-span-2">
            <Age at={session.snapshot.takenAt} />, kept until <Until at={session.snapshot.expiresAt} />
          </Fact>
        )}
      </dl>
    </Card>
  );
}

/** The session's own snapshot, or the image with the build that made it, or neither. */
function StartedFrom({ session }: { session: SessionView }) {
  const { image, repository } = session;
  const from = session.receipt?.startedFrom ?? session.startedFrom ?? (image === null ? "base" : "image");
  if (from === "snapshot") return "its own snapshot";
  if (image === null || from === "base") return "base (cold)";
  return (
    <>
      <Link to="/repositories/$owner/$name" params={{ owner: repository.owner, name: repository.name }} className="text-link">
        image
      </Link>{" "}
      of <Commit sha={image.sha} />,{" "}
      <Link to="/builds/$id" params={{ id: image.buildId }} className="text-link">
        its build
      </Link>
    </>
  );
}

/** @param at when the session was asked for */
function describeBehind({ commits, oldestAt }: Behind, at: number): string {
  if (commits === 0) return "not at all";
  const words = `${commits.toLocaleString("en")} ${commits === 1 ? "commit" : "commits"}`;
  return oldestAt === null ? words : `${words}, ${formatDuration(Math.max(0, at - oldestAt))}`;
}

/** The agent takes the workspace up when setup is done with it: until then its bar grows with setup's. */
function tellWait(phases: readonly PhaseRecord[]): readonly PhaseRecord[] {
  const isRunning = (name: Phase) => phases.some(({ phase, outcome }) => phase === name && outcome === "running");
  if (!isRunning("setup")) return phases;
  return phases.map((record) =>
    record.phase === "agent" && record.outcome === "running" ? { ...record, detail: "waits for setup" } : record,
  );
}

/** When this start was asked for: a session that resumes was created long before. */
function startOf({ phases, createdAt, receipt }: SessionView): number {
  const first = Math.min(...phases.map(({ startedAt }) => startedAt));
  if (!Number.isFinite(first)) return createdAt;
  return receipt?.startedFrom === "snapshot" || first - createdAt > resumedAfterMs ? first : createdAt;
}
/** A first phase that begins later than that belongs to another start. */
const resumedAfterMs = 10 * 60_000;

/** Before the receipt: how long the start has taken, or that there will be none. */
function Progress({ session }: { session: SessionView }) {
  const ended = isSessionEnded(session.status);
  const now = useNow(ended ? null : 100);
  if (ended) {
    return (
      <p className="font-medium">{session.status === "failed" ? "This session did not start" : "Stopped before it was ready"}</p>
    );
  }
  return (
    <p>
      <span className="font-medium">{describeStart(session)}</span>{" "}
      <span aria-hidden="true" className="text-muted">
        · {formatDuration(Math.max(0, now - startOf(session)), true)}
      </span>
    </p>
  );
}

function Receipt({ receipt }: { receipt: StartReceipt }) {
  const [first, ...rest] = describeReceipt(receipt);
  const { cold } = receipt;
  return (
    <>
      <p data-receipt={receipt.startedFrom} className="text-pretty">
        <strong className="font-semibold text-lg">{first}</strong>
        {rest.map((piece) => (
          <span key={piece} className={cn("text-muted", piece.endsWith("× faster") && "font-medium text-ok")}>
            {" · "}
            {piece}
          </span>
        ))}
      </p>
      {receipt.startedFrom === "image" && cold !== null ? (
        <div aria-hidden="true" className="mt-2.5 grid grid-cols-[auto_1fr] items-center gap-x-3 gap-y-1 text-faint text-xs">
          <span>This start</span>
          <Bar share={receipt.startMs / Math.max(receipt.startMs, cold.ms)} className="bg-ok-dot" />
          <span>Cold start</span>
          <Bar share={cold.ms / Math.max(receipt.startMs, cold.ms)} className="bg-line-strong" />
        </div>
      ) : null}
    </>
  );
}

function Bar({ share, className }: { share: number; className: string }) {
  return <span className={cn("block h-1.5 min-w-1 rounded-full", className)} style={{ width: `${(share * 100).toFixed(2)}%` }} />;
}
