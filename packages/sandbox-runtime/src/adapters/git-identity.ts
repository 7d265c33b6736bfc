/** What git in the sandbox finds of its user: name and address of commits, and where credentials come from. Knows no prompts and no commits. */
import { type Person } from "@open-inspect/protocol";
import { runCommand } from "./processes.ts";

const timeoutMs = 5_000;
/** Reserved by RFC 2606: mail to it goes nowhere. */
const nowhere = "users.noreply.open-inspect.invalid";
const someone = "Open-Inspect";

export interface GitIdentity {
  name: string;
  email: string;
}

/** git refuses a name that is empty without the characters that it strips. */
const clean = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f<>]+/g, " ").replace(/^[\s.,:;'"\\]+|[\s.,:;'"\\]+$/g, "");

export function identityOf(person: Person | null): GitIdentity {
  const name = clean(person?.name ?? "") || someone;
  const slug = (person?.login ?? name).toLowerCase().replace(/[^a-z0-9-]+/g, "-");
  const mailbox = slug.replace(/^-+|-+$/g, "") || "someone";
  return { name, email: clean(person?.email ?? "") || `${mailbox}@${nowhere}` };
}

const git = ({ workspace, env }: { workspace: string; env: NodeJS.ProcessEnv }, ...args: string[]) =>
  runCommand("git", ["-c", `safe.directory=${workspace}`, "config", ...args], { cwd: workspace, env, timeoutMs });

async function writeGlobal(place: { workspace: string; env: NodeJS.ProcessEnv }, key: string, value: string): Promise<void> {
  const result = await git(place, "--global", "--replace-all", key, value);
  if (result.exitCode !== 0) throw new Error(`git could not write ${key}: ${result.lines.at(-1) ?? "no output"}`);
}

/** From now on everybody's git in the sandbox asks this helper for the clone URL's server. Rejects when git cannot write. */
export async function writeCredentialHelper(options: {
  cloneUrl: string;
  helper: string;
  workspace: string;
  env: NodeJS.ProcessEnv;
}): Promise<void> {
  await writeGlobal(options, `credential.${new URL(options.cloneUrl).origin}.helper`, options.helper);
}

/** What a repository's setup wrote into its own settings would win over the person: it goes. Rejects when git cannot write. */
export async function writeGitIdentity(
  person: Person | null,
  place: { workspace: string; env: NodeJS.ProcessEnv },
): Promise<void> {
  const { name, email } = identityOf(person);
  const local = await git(place, "--local", "--get-regexp", "^(user|author|committer)\\.(name|email)$");
  const overrides = local.stdout.split("\n").flatMap((line) => line.split(" ")[0] || []);
  for (const key of new Set(overrides)) await git(place, "--local", "--unset-all", key);
  await writeGlobal(place, "user.name", name);
  await writeGlobal(place, "user.email", email);
}
