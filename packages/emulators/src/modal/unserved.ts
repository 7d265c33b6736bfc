/** What the emulator says to a call that it does not serve, by the call's name: what to use instead. Pure. */

const advice: [pattern: RegExp, text: string][] = [
  [
    /^volume|^taskReloadVolumes/i,
    "It has no volumes: write files with sandbox.filesystem, or put them into an image with dockerfileCommands.",
  ],
  [/SnapshotMemory|^sandboxSnapshot|^sandboxRestore/i, "It has no memory snapshots: use sandbox.snapshotFilesystem()."],
  [/^task(Snapshot|Mount|Unmount)Directory/i, "It has no directory snapshots: use sandbox.snapshotFilesystem()."],
  [/ExitSnapshot/i, "It has no exit snapshots: call sandbox.snapshotFilesystem() before the end."],
  [/^taskSet(NetworkAccess|OutboundPolicy)/i, "The network of a sandbox is fixed when it is created."],
  [/CreateConnectToken/i, "It has no connect tokens: use encryptedPorts and sandbox.tunnels()."],
  [/Container/i, "It has no sidecar containers: create a second sandbox."],
  [/^sandboxSetName/i, "Give the name when the sandbox is created."],
  [/^queue/i, "It has no queues."],
  [/^(function|cls|attempt|blob)/i, "It runs sandboxes only, no functions."],
  [/^secret/i, "It has no named secrets: use secrets.fromObject()."],
  [/^proxy/i, "It has no proxies: use outboundDomainAllowlist."],
  [/^app.*Logs/i, "It keeps no logs of apps: read the output of the sandbox or of the exec."],
];

export function explainUnserved(method: string): string {
  const found = advice.find(([pattern]) => pattern.test(method));
  return `The Modal emulator does not serve ${method}. ${found?.[1] ?? "It serves apps, images, sandboxes, exec, files, tags, tunnels and filesystem snapshots."}`;
}
