/** The workspace of a session: brought to the branch's head, kept as it was left, or pushed. Opens and closes the edit gate. Knows no agent. */
import { join } from "node:path";
import { type BridgeDown } from "@open-inspect/protocol";
import { createCredentialCache } from "../adapters/credential-server.ts";
import { type EditGate } from "../adapters/edit-gate.ts";
import { bringToHead, hasRepository } from "../adapters/git.ts";
import { readRevision, readSessionBase, writeSessionBase } from "../adapters/git-base.ts";
import { measureDistance } from "../adapters/git-distance.ts";
import { type PushOutcome, pushWork } from "../adapters/git-push.ts";
import { removeLocks } from "../adapters/git-settings.ts";
import { explainHollowSnapshot, RuntimeFailure } from "../domain/failures.ts";
import { type SessionContext } from "./session.ts";
import { prepareWorkspace } from "./steps.ts";

/** A list that is longer says no more than that all is closed, and would not fit into a frame. */
const toldFilesMaxCharacters = 200_000;
const pushesKept = 100;

type PushCommand = Extract<BridgeDown, { type: "push" }>;

export interface Synced {
  sha: string;
  /** HEAD before, null after a clone */
  from: string | null;
  /** the files that are others than before; null: any may be */
  changed: string[] | null;
}

export interface SessionWorkspace {
  /** To the head of the branch, or of another one, which the session is on from then on. The gate is closed until that is proved. Throws RuntimeFailure. */
  sync(branch?: string): Promise<Synced>;
  /** As the session left it. What the server has by now is fetched beside it. @returns HEAD */
  keep(): Promise<string>;
  /** Never rejects. The same id again gives the same outcome. */
  push(command: PushCommand): Promise<PushOutcome>;
  /** How far the image was behind. Without an image, or where git cannot say, nothing is told. */
  tellBehind(): Promise<void>;
  /** The commit that the session began at. */
  base(): string;
}

export function createSessionWorkspace(context: SessionContext, gate: EditGate): SessionWorkspace {
  const { config, paths, bridge, reporter, env, signal, log } = context;
  const repository = { workspace: paths.workspace, env };
  const pushes = new Map<string, Promise<PushOutcome>>();
  let branch = config.branch;
  let base = "";
  /** what an image had, from which distance is told */
  let imageSha: string | null = null;

  const fetchOnly = async (head: string) => {
    const report = reporter.begin("sync");
    try {
      await bringToHead({
        phase: "sync",
        workspace: paths.workspace,
        stateDir: paths.stateDir,
        cloneUrl: config.cloneUrl,
        branch,
        timeoutMs: config.gitTimeoutMs,
        env,
        credentials: context.credentials,
        signal,
        log: report.system,
        fetchOnly: true,
      });
      report.finish("done", `${head.slice(0, 7)}, as it was left`);
    } catch (error) {
      // The work is here: what the server has by now can wait.
      report.finish("failed", error instanceof Error ? error.message : undefined);
    }
  };

  return {
    async sync(other) {
      gate.close(null);
      let changed: string[] | null = null;
      const isFirst = base === "";
      const synced = await prepareWorkspace(context, {
        branch: other ?? branch,
        onChanged(files) {
          const isShort = files !== null && JSON.stringify(files).length <= toldFilesMaxCharacters;
          changed = isShort ? files : null;
          gate.close(changed);
          bridge.send({ type: "workspace.changed", files: changed });
        },
      });
      branch = synced.branch;
      base = synced.sha;
      if (isFirst && config.startFrom === "image") imageSha = synced.bakedSha;
      await writeSessionBase(repository, base).catch((error: Error) => log(`git: the base could not be kept: ${error.message}`));
      return { sha: synced.sha, from: synced.bakedSha, changed };
    },

    async keep() {
      if (!hasRepository(paths.workspace)) throw new RuntimeFailure(explainHollowSnapshot(paths.workspace));
      await removeLocks(join(paths.workspace, ".git"));
      const [head, kept] = await Promise.all([readRevision(repository, "HEAD"), readSessionBase(repository)]);
      if (head === null) throw new RuntimeFailure(explainHollowSnapshot(paths.workspace));
      base = kept ?? head;
      gate.open();
      void fetchOnly(head);
      return head;
    },

    push({ pushId, branch: target, message, author }) {
      const known = pushes.get(pushId);
      if (known) return known;
      const pushing = pushWork({
        workspace: paths.workspace,
        stateDir: paths.stateDir,
        cloneUrl: config.cloneUrl,
        base: { branch, sha: base },
        branch: target,
        message,
        author,
        env,
        credentials: createCredentialCache(() => bridge.requestCredential(pushId)),
        signal,
      }).catch((error: Error): PushOutcome => ({ kind: "failed", message: error.message }));
      pushes.set(pushId, pushing);
      const [oldest] = pushes.keys();
      if (pushes.size > pushesKept && oldest !== undefined) pushes.delete(oldest);
      return pushing;
    },

    async tellBehind() {
      if (imageSha === null) return;
      const distance = await measureDistance(paths.workspace, { from: imageSha, to: base }, context);
      if (distance && !signal.aborted) bridge.send({ type: "workspace.behind", ...distance });
    },

    base: () => base,
  };
}
