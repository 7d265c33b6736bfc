/** Reads the Dockerfile lines of one image layer into steps. Pure: runs nothing. */
import { z } from "zod";

export type DockerfileStep =
  | { kind: "run"; argv: string[]; text: string }
  | { kind: "env"; entries: [name: string, template: string][]; text: string }
  | { kind: "workdir"; template: string; text: string };

export interface Dockerfile {
  /** the registry tag, or the name of a base image */
  from: string;
  steps: DockerfileStep[];
}

/** The lines ask for something that the emulator does not do. Its message is for the person who wrote them. */
export class DockerfileError extends Error {
  override readonly name = "DockerfileError";
}

const argvSchema = z.array(z.string()).min(1);

/** One instruction per entry: comments dropped, lines that end in a backslash joined as Docker does. */
function joinLines(lines: string[]): string[] {
  const instructions: string[] = [];
  let open = "";
  for (const line of lines.flatMap((each) => each.split("\n"))) {
    if (/^\s*#/.test(line) || (open === "" && line.trim() === "")) continue;
    if (/\\\s*$/.test(line)) {
      open += line.replace(/\\\s*$/, "");
    } else {
      instructions.push((open + line).trim());
      open = "";
    }
  }
  if (open.trim() !== "") instructions.push(open.trim());
  return instructions;
}

function parseExecForm(rest: string): string[] | null {
  if (!rest.startsWith("[")) return null;
  try {
    const parsed = argvSchema.safeParse(JSON.parse(rest));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** Splits `A=1 B="two words"` as Docker does: quotes group, a backslash keeps the next character. */
function parseEnv(rest: string, text: string): [string, string][] {
  const legacy = /^([A-Za-z_]\w*)\s+(?!=)(.*)$/s.exec(rest);
  if (legacy?.[1] && legacy[2] !== undefined && !/^[A-Za-z_]\w*=/.test(rest)) return [[legacy[1], legacy[2]]];
  const entries: [string, string][] = [];
  const token = /\s*([A-Za-z_]\w*)=((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])*)/gsy;
  let at = 0;
  while (at < rest.trimEnd().length) {
    token.lastIndex = at;
    const match = token.exec(rest);
    if (!match?.[1] || match[2] === undefined) throw new DockerfileError(`ENV wants NAME=value: ${text}`);
    entries.push([match[1], unquote(match[2])]);
    at = token.lastIndex;
  }
  if (entries.length === 0) throw new DockerfileError(`ENV wants NAME=value: ${text}`);
  return entries;
}

/** Single quotes and backslashes before `$` keep a dollar from being expanded: such a dollar comes out as `\$`. */
function unquote(raw: string): string {
  return raw.replace(/"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)|([^\\"']+)/gs, (_all, double, single, escaped, plain) => {
    if (double !== undefined) return String(double).replace(/\\(["\\])/g, "$1");
    if (single !== undefined) return String(single).replaceAll("$", "\\$");
    if (escaped !== undefined) return escaped === "$" ? "\\$" : String(escaped);
    return String(plain);
  });
}

export const hasVariables = (template: string): boolean => /(^|[^\\])\$/.test(template);

/** Replaces `$A`, `${A}`, `${A:-word}` and `${A:+word}`; `\$` is a dollar. */
export function expandVariables(template: string, env: Record<string, string>): string {
  return template.replace(/\\\$|\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})/g, (all, plain, name, operator, word) => {
    if (all === "\\$") return "$";
    const value = env[String(plain ?? name)] ?? "";
    if (operator === "-") return value === "" ? String(word) : value;
    if (operator === "+") return value === "" ? "" : String(word);
    return value;
  });
}

function parseStep(text: string): DockerfileStep | null {
  const [, word = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(text) ?? [];
  const instruction = word.toUpperCase();
  switch (instruction) {
    case "RUN": {
      if (rest === "") throw new DockerfileError("RUN has no command.");
      if (/^--\w+/.test(rest)) throw new DockerfileError(`RUN options are not supported by the emulator: ${text}`);
      if (/^<<-?\s*["']?\w/.test(rest)) throw new DockerfileError(`Here-documents are not supported by the emulator: ${text}`);
      return { kind: "run", argv: parseExecForm(rest) ?? ["/bin/sh", "-c", rest], text };
    }
    case "ENV":
      return { kind: "env", entries: parseEnv(rest, text), text };
    case "WORKDIR":
      if (rest === "") throw new DockerfileError("WORKDIR has no path.");
      return { kind: "workdir", template: unquote(rest), text };
    case "LABEL":
    case "EXPOSE":
    case "MAINTAINER":
      return null;
    case "ENTRYPOINT":
    case "CMD":
      // a sandbox runs the command it was created with; only the usual reset has nothing to say to that
      if (rest.replaceAll(/\s/g, "") === "[]") return null;
      throw new DockerfileError(`The emulator supports ${instruction} only as ${instruction} []: ${text}`);
    default:
      throw new DockerfileError(`The emulator does not support ${instruction}: ${text}. It supports RUN, ENV and WORKDIR.`);
  }
}

export function parseDockerfile(lines: string[]): Dockerfile {
  const [first, ...others] = joinLines(lines);
  const from = /^FROM\s+(\S+)$/i.exec(first ?? "")?.[1];
  if (!from) throw new DockerfileError(`The first line must be FROM with one image, found: ${first ?? "nothing"}`);
  return { from, steps: others.map(parseStep).filter((step) => step !== null) };
}
