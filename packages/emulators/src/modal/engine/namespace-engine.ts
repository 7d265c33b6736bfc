/**
 * The engine that confines: overlayfs layers in private mount namespaces, guests in namespaces of their own. Brings the
 * store, the launcher, the network and the snapshots together; how each of them works is theirs.
 */
import { createHash } from "node:crypto";
import { chmodSync, chownSync, copyFileSync, mkdirSync, realpathSync, renameSync, statSync, utimesSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createBaseFilesystems } from "./base-filesystems.ts";
import { type Cgroups, detectCgroups } from "./cgroups.ts";
import { EngineError, type EngineOptions, type FilesystemId, type GuestSpec, type SandboxEngine } from "./engine.ts";
import { lockStateDir } from "./engine-lock.ts";
import { beginFrozenSnapshot, type FrozenSnapshot } from "./frozen-snapshot.ts";
import { buildLaunch, type LauncherKind } from "./guest-launch.ts";
import { openGuestNetwork, PROXY_PORT, PROXY_SOCKET, portSocket } from "./guest-network.ts";
import { guestBaseEnv, guestView, resolveHostOffer } from "./guest-view.ts";
import { noStage, openHostStage } from "./host-stage.ts";
import { createLaunchPads } from "./launch-pad.ts";
import { createLayerKeeper } from "./layer-keeper.ts";
import { BOOT_ID, type FilesystemRecord, openLayerStore } from "./layer-store.ts";
import { openLayerWork } from "./layer-work.ts";
import { type LiveGuest, startLiveGuest } from "./live-guest.ts";
import { egressRules } from "./network-policy.ts";
import { recoverStore } from "./recovery.ts";
import { writeSeccompProgram } from "./seccomp-file.ts";
import { type UserMapping } from "./user-mapping.ts";

export interface NamespaceEngineOptions extends EngineOptions {
  log: (line: string) => void;
  mapping: UserMapping;
  launcher: LauncherKind;
  proc: "own" | "bind";
  /** chains longer than this are merged into one layer in the background */
  maxLayers: number;
  /** addresses that are not public and that egress may reach all the same, as CIDR blocks */
  privateEgressCidrs: string[];
}

const GUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const MAX_PIDS = 4096;
/** for the agent itself, on top of what the guest was promised */
const AGENT_MEMORY_BYTES = 96 * 1024 * 1024;
const MIB = 1024 * 1024;
const THAW_TIMEOUT_MS = 120_000;

const hostAddresses = () =>
  Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .map(({ address }) => address);

interface Resident {
  live: LiveGuest;
  base: FilesystemRecord["base"];
  chain: string[];
  hasLimitedDisk: boolean;
  snapshot: FrozenSnapshot | null;
  turn: Promise<unknown>;
}

export async function createNamespaceEngine(options: NamespaceEngineOptions): Promise<SandboxEngine> {
  const { log, mapping, launcher } = options;
  if (options.forwardedPorts.includes(PROXY_PORT))
    throw new EngineError("invalid", `Port ${PROXY_PORT} is the guests' proxy and cannot be forwarded.`);
  mkdirSync(options.stateDir, { recursive: true });
  const undo: (() => void | Promise<void>)[] = [await lockStateDir(options.stateDir)];
  const abandon = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await open();
  } catch (error) {
    await abandon();
    throw error;
  }

  async function open(): Promise<SandboxEngine> {
    const root = join(options.stateDir, mapping.storeName);
    const store = openLayerStore(root);
    const cgroups: Cgroups | null = detectCgroups();
    const cgroupPrefix = `open-inspect-${createHash("sha256").update(realpathSync(root)).digest("hex").slice(0, 16)}-`;
    await recoverStore({ store, cgroups, cgroupPrefix, log });
    store.writeCgroupBases(cgroups?.baseDirs ?? []);

    const agentFile = join(root, "guest-agent.cjs");
    copyFileSync(fileURLToPath(new URL("./guest-agent.cjs", import.meta.url)), agentFile);
    const seccompFile = await writeSeccompProgram(join(root, "seccomp.bpf"), launcher);
    const offer = resolveHostOffer(options, agentFile, root);
    const stage = mapping.mountsAsHostRoot
      ? await openHostStage([...offer.paths, ...(seccompFile === null ? [] : [seccompFile])], store.guestsDir)
      : noStage();
    undo.push(stage.close);
    const work = await openLayerWork(mapping);
    undo.push(work.close);

    const pads = createLaunchPads({ mapping, stage, cgroups, cgroupPrefix, padsDir: join(root, "pads") });
    undo.push(pads.close);

    const residents = new Map<string, Resident>();
    const starting = new Map<string, string[]>();
    const launches = new Set<Promise<LiveGuest>>();
    let closing = false;

    const keeper = createLayerKeeper({
      store,
      work,
      maxLayers: options.maxLayers,
      log,
      pinned: () => [...[...residents.values()].map(({ chain }) => chain), ...starting.values()].flat(),
      snapshotOf: (layer) => [...residents.values()].find(({ snapshot }) => snapshot?.layer === layer)?.snapshot ?? null,
    });
    keeper.collect();

    const bases = createBaseFilesystems({ stateDir: options.stateDir, store, work, keeper, mapping, log });

    const startGuest = async (spec: GuestSpec): Promise<LiveGuest> => {
      const record = store.filesystem(spec.filesystem);
      if (record === undefined) throw new EngineError("not_found", `There is no filesystem ${spec.filesystem}.`);
      const chain = record.layers;
      starting.set(spec.id, chain);
      const dir = store.guestDir(spec.id);
      const rules = egressRules(spec.network, options.privateEgressCidrs, hostAddresses());
      const cleanUps: (() => void | Promise<void>)[] = [() => store.moveToTrash(dir)];
      const cleanUp = async () => {
        for (const step of cleanUps.splice(0).reverse()) {
          try {
            await step();
          } catch (error) {
            log(`guest ${spec.id}: cleaning up failed: ${error instanceof Error ? error.message : String(error)}`);
          }
        }
      };
      try {
        await keeper.whenStored(chain, THAW_TIMEOUT_MS);
        for (const name of ["", "delta", "delta/fs", "disk", "work", "root", "ctl", "net"])
          mkdirSync(join(dir, name), { mode: 0o711 });
        if (mapping.mountsAsHostRoot)
          for (const name of ["delta/fs", "work", "ctl"]) chownSync(join(dir, name), mapping.rootUid, mapping.rootUid);
        // The guest's root directory is the upper one's own inode, whatever the layers beneath say.
        const { mode, mtime } = statSync(join(store.layerDir(chain[0] ?? ""), "fs"));
        chmodSync(join(dir, "delta/fs"), mode & 0o7777);
        utimesSync(join(dir, "delta/fs"), mtime, mtime);
        const pad = await pads.take();
        cleanUps.push(() => pad.discard());
        renameSync(pad.fifoDir, join(dir, "ctl/fifos"));
        pad.cgroup?.limit({
          memoryBytes: spec.memoryMiB === null ? null : spec.memoryMiB * MIB + AGENT_MEMORY_BYTES,
          cpu: spec.cpu,
          pids: MAX_PIDS,
        });
        const cgroupDirs = pad.cgroup?.dirs ?? [];
        store.writeGuestMeta(spec.id, { processes: [], cgroupDirs });
        const network = await openGuestNetwork(join(dir, "net"), options.forwardedPorts, rules, (line) =>
          log(`guest ${spec.id}: ${line}`),
        );
        cleanUps.push(network.close);
        const view = guestView(record.base, offer, stage.visible);
        const ports = [...options.forwardedPorts.map((port) => ({ port, path: `/run/net/${portSocket(port)}` }))];
        if (rules.anyEgress) ports.push({ port: PROXY_PORT, path: `/run/net/${PROXY_SOCKET}` });
        const agentConfig = {
          socket: "/run/ctl/agent.sock",
          fifoDir: "/run/agent-fifos",
          fifoStock: "/run/ctl/fifos",
          forwards: ports,
        };
        const baseEnv = guestBaseEnv(rules.anyEgress, offer.caBundle);
        const live = await startLiveGuest({
          spec,
          dir,
          baseEnv,
          pad,
          log,
          script: buildLaunch({
            ...view,
            launcher,
            mapping,
            holderPid: pad.holder.pid,
            placeDir: stage.guestDir(dir),
            layersDir: store.layersDir,
            guestDirFromLayers: `../sandboxes/${spec.id}`,
            lowerDirs: chain.map((layer) => `${layer}/fs`),
            diskBytes: spec.diskBytes ?? null,
            hostname: spec.id.slice(0, 63),
            agentEnv: { PATH: baseEnv.PATH ?? "", HOME: "/root", LANG: "C.UTF-8" },
            agentArgs: [JSON.stringify(agentConfig)],
            node: stage.visible(offer.node),
            agentFile: stage.visible(offer.agentFile),
            seccompFile: seccompFile === null ? null : stage.visible(seccompFile),
            rlimits: {
              pids: cgroups?.limits.pids ? null : MAX_PIDS,
              dataBytes: cgroups?.limits.memory || spec.memoryMiB === null ? null : spec.memoryMiB * MIB + AGENT_MEMORY_BYTES,
            },
            proc: options.proc,
            materialise: !mapping.mountsAsHostRoot && chain.length > 1,
          }),
          async onGone() {
            await residents.get(spec.id)?.snapshot?.takeUpper();
            residents.delete(spec.id);
            await cleanUp();
            keeper.collect();
          },
        });
        residents.set(spec.id, {
          live,
          base: record.base,
          chain,
          hasLimitedDisk: spec.diskBytes !== undefined,
          snapshot: null,
          turn: Promise.resolve(),
        });
        // It may have ended while this was on its way.
        void live.guest.ended.then(() => {
          if (residents.get(spec.id)?.live === live) residents.delete(spec.id);
        });
        void pad.holder.release();
        store.writeGuestMeta(spec.id, { processes: live.processes, cgroupDirs });
        return live;
      } catch (error) {
        await cleanUp();
        throw error instanceof EngineError
          ? error
          : new EngineError("failed", error instanceof Error ? error.message : String(error));
      } finally {
        starting.delete(spec.id);
        pads.refill();
      }
    };

    const takeSnapshot = async (guestId: string, resident: Resident): Promise<FilesystemId> => {
      const { live, base, chain } = resident;
      if (resident.hasLimitedDisk) throw new EngineError("exhausted", `The disk of the guest ${guestId} is limited and full.`);
      if (!live.isRunning()) throw new EngineError("not_found", `The guest ${guestId} has ended.`);
      const id = store.newFilesystemId();
      if (resident.snapshot === null) {
        try {
          await live.freeze();
        } catch (error) {
          if (live.isRunning()) throw new EngineError("failed", error instanceof Error ? error.message : String(error));
        }
        if (!live.isRunning()) throw new EngineError("not_found", `The guest ${guestId} ended before it was frozen.`);
        const layer = store.newLayerId();
        store.putLayer({ id: layer, state: { kind: "in-guest", guest: guestId } });
        const snapshot = beginFrozenSnapshot({
          store,
          work,
          layer,
          guestDir: store.guestDir(guestId),
          thaw() {
            if (resident.snapshot === snapshot) resident.snapshot = null;
            live.thaw();
          },
          giveUpGuest(error) {
            log(`guest ${guestId}: ended to keep its snapshot: ${error instanceof Error ? error.message : String(error)}`);
            void live.end("died");
          },
        });
        resident.snapshot = snapshot;
      }
      // Still frozen from the snapshot before: nothing has changed since, so this one is the same layer.
      store.putFilesystem({ id, base, layers: [resident.snapshot.layer, ...chain], durable: false, bootId: BOOT_ID });
      void resident.snapshot.settled.then(() => keeper.settled(id));
      return id;
    };

    return {
      describe: () => ({
        isolation: seccompFile === null ? "namespaces, no seccomp" : "namespaces",
        detail: [
          `overlayfs with ${launcher === "bwrap" ? "bubblewrap" : "util-linux"}`,
          `users: ${mapping.kind} (${mapping.idCount} from ${mapping.rootUid})`,
          `seccomp: ${seccompFile === null ? "none: bubblewrap or perl would load it" : "on"}`,
          cgroups?.detail ?? "limits: processes and memory per process by prlimit, cpu: none, freezer: signals",
          ...(options.proc === "own" ? [] : ["/proc is the host's"]),
        ].join("; "),
      }),
      filesystemFromTag: bases.fromTag,
      filesystemExists: (id) => store.filesystem(id) !== undefined,
      async createGuest(spec) {
        if (closing) throw new EngineError("failed", "The engine is closing.");
        if (!GUEST_ID.test(spec.id)) throw new EngineError("invalid", `${spec.id} cannot name a guest.`);
        if (residents.has(spec.id) || starting.has(spec.id))
          throw new EngineError("invalid", `There is a guest ${spec.id} already.`);
        const launch = startGuest(spec);
        launches.add(launch);
        return (await launch.finally(() => launches.delete(launch))).guest;
      },
      async snapshot(guestId) {
        const resident = residents.get(guestId);
        if (resident === undefined) throw new EngineError("not_found", `There is no guest ${guestId}.`);
        const taken = resident.turn.then(() => takeSnapshot(guestId, resident));
        resident.turn = taken.catch(() => {});
        return taken;
      },
      async deleteFilesystem(id) {
        store.removeFilesystem(id);
        await keeper.dropUnwantedSnapshots();
        keeper.collect();
      },
      async retainOnly(ids) {
        const known = new Set(ids);
        const lost = [...store.inherited].filter((id) => !known.has(id) && store.filesystem(id) !== undefined);
        if (lost.length === 0) return;
        for (const id of lost) store.removeFilesystem(id);
        log(`freed ${lost.length} snapshots that an earlier run had told nobody of`);
        keeper.collect();
      },
      async close() {
        closing = true;
        await Promise.allSettled([bases.close(), ...launches]);
        await Promise.all([...residents.values()].map(({ live }) => live.guest.kill()));
        await keeper.close();
        await abandon();
      },
    };
  }
}
