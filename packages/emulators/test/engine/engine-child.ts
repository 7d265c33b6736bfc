/** An engine in a process of its own, for tests that kill it or run it as another user. Does as argv[2] says and prints JSON. */
import { ok, openEngine } from "./harness.ts";

const [scenario, stateDir, mark] = process.argv.slice(2) as [string, string, string];
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

if (scenario === "hold" || scenario === "crash") {
  const test = await openEngine({ stateDir });
  const frozen = await test.guest({ memoryMiB: 512 });
  const copied = await test.guest();
  const busy = await test.guest();
  await ok(frozen, "echo frozen > /workspace/what; for i in $(seq 300); do echo $i > /workspace/f$i; done");
  await ok(copied, "echo copied > /workspace/what");
  // Daemons that left their parents, their sessions and their signals behind.
  for (const guest of [frozen, copied, busy]) {
    await ok(
      guest,
      `(setsid bash -c 'trap "" TERM HUP; exec -a ${mark} sleep 300' > /dev/null 2>&1 &); sleep ${mark.length} > /dev/null 2>&1 &`,
    );
  }
  const settled = await test.engine.snapshot(copied.id);
  await ok(copied, "echo later > /workspace/what");
  const pending = await test.engine.snapshot(frozen.id);
  say({ settled, pending });
  if (scenario === "hold") setInterval(() => {}, 1000);
  else process.exit(1);
} else if (scenario === "tour") {
  const test = await openEngine({ stateDir, ...(mark === "" ? {} : { launcher: mark as "bwrap" | "unshare" }) });
  const guest = await test.guest({ memoryMiB: 512, cpu: 1 });
  const who = (await ok(guest, "id -u; hostname")).trim().split("\n");
  await ok(
    guest,
    "mkdir -p /workspace/repo/src/deep && cd /workspace/repo && git init -q . && echo 1 > src/deep/a && git add . && git -c user.email=a@b -c user.name=n commit -qm one",
  );
  const live = await test.engine.snapshot(guest.id);
  await ok(guest, "echo after > /workspace/after");
  const restored = await test.guest({ filesystem: live });
  const status = await ok(
    restored,
    "cd /workspace/repo && git mv src moved && cat moved/deep/a && git status --short && ls /workspace",
  );
  const last = await test.engine.snapshot(restored.id);
  await restored.kill();
  const third = await test.guest({ filesystem: last });
  const third2 = await ok(third, "cd /workspace/repo && git mv moved third && git status --short && cat third/deep/a");
  const denied = await ok(
    third,
    "mount -t tmpfs x /mnt 2>/dev/null || echo mount; unshare -U true 2>/dev/null || echo unshare; touch /usr/x 2>/dev/null || echo usr; ls /boot 2>/dev/null | wc -l",
  );
  const zombies = await ok(third, "for i in $(seq 20); do (setsid true &) ; done; sleep 0.2; ps -eo stat= | grep -c ^Z || :");
  const detail = test.engine.describe();
  await test.close();
  say({ who, status, third: third2, denied, zombies: zombies.trim(), detail });
} else if (scenario === "rights") {
  const test = await openEngine({ stateDir, launcher: mark as "bwrap" | "unshare" });
  const guest = await test.guest();
  const rights = await ok(guest, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
  const detail = test.engine.describe();
  await test.close();
  say({ rights, detail });
} else if (scenario === "debian") {
  const test = await openEngine({ stateDir });
  const refusal = await test.engine.filesystemFromTag("debian:bookworm-slim").catch((error: Error) => error.message);
  const { detail } = test.engine.describe();
  await test.close();
  say({ refusal, detail });
}
