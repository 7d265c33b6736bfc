/** A person with git and their own token: clones, changes files and pushes to the emulated GitHub, as on any machine. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { type System } from "./system.ts";

export interface FileChange {
  content: string;
  executable?: boolean;
}

/**
 * Commits changes on the default branch (or makes it, in an empty repository) and pushes them.
 * @param files path → new content, null = delete
 * @returns the pushed commit
 */
export async function pushCommit(
  system: System,
  folder: string,
  repository: string,
  message: string,
  files: Record<string, FileChange | null>,
  options: { force?: boolean } = {},
): Promise<string> {
  const own = randomUUID();
  const checkout = join(folder, `checkout-${own}`);
  const { person } = system.credentials;
  const askpass = join(folder, `askpass-${own}.sh`);
  mkdirSync(folder, { recursive: true });
  // The token is not put into the URL: git would write it into the checkout's configuration.
  writeFileSync(askpass, `#!/bin/sh\ncase "$1" in Username*) echo ${person.login};; *) echo ${person.token};; esac\n`, {
    mode: 0o700,
  });
  const git = async (...args: string[]) => {
    const { stdout } = await promisify(execFile)(
      "git",
      ["-c", "user.name=Developer", "-c", "user.email=developer@example.com", ...args],
      {
        env: { PATH: process.env.PATH ?? "", HOME: folder, GIT_ASKPASS: askpass, GIT_TERMINAL_PROMPT: "0" },
        timeout: 60_000,
      },
    );
    return stdout.trim();
  };
  await git("clone", "--quiet", `${system.githubUrl}/${repository}.git`, checkout);
  try {
    if (options.force === true) await git("-C", checkout, "reset", "--quiet", "--soft", "HEAD~1");
    for (const [path, change] of Object.entries(files)) {
      const target = join(checkout, path);
      if (change === null) rmSync(target);
      else {
        mkdirSync(dirname(target), { recursive: true });
        writeFileSync(target, change.content);
        chmodSync(target, change.executable ? 0o755 : 0o644);
      }
    }
    await git("-C", checkout, "add", "--all");
    await git("-C", checkout, "commit", "--quiet", "--message", message);
    await git("-C", checkout, "push", "--quiet", ...(options.force === true ? ["--force"] : []), "origin", "HEAD");
    return await git("-C", checkout, "rev-parse", "HEAD");
  } finally {
    rmSync(checkout, { recursive: true, force: true });
  }
}
