/** When a failing repository is told to whoever asked for it, where that may be sent, and how it reads in a chat. Pure. */
import { type deliveryOutcomes, type Notification } from "@open-inspect/protocol";
import { type ScopeState } from "./image-scope-state.ts";

/** A notification before it knows where its page is. */
export type Notice = Omit<Notification, "url">;

/** What a commit has to tell: the first failure since the last good build, and the good build that ends the failing. */
export function noticeOf(before: ScopeState, after: ScopeState): Notice | null {
  const { target, last } = after;
  if (!target || !last || last === before.last || (before.failing === null) === (after.failing === null)) return null;
  const { id, sha, finishedAt: at, failure } = last;
  const { owner, name } = target;
  const repository = { owner, name };
  if (after.failing && failure) {
    const { code, message, hint, phase } = failure;
    const build = { id, sha, failure: { code, message, hint, phase } };
    return { id: `${id}.failing`, type: "image.failing", at, repository, build };
  }
  // Who switches the images off, or on again, has not repaired anything.
  if (last.status !== "ready") return null;
  return { id: `${id}.recovered`, type: "image.recovered", at, repository, build: { id, sha, failure: null } };
}

/** What was true when it was owed may have passed: a late "failing" after the recovery would mislead. */
export function isNoticeWanted(state: ScopeState, { type }: Notice): boolean {
  switch (type) {
    case "image.failing":
      return state.failing !== null;
    case "image.recovered":
      return state.failing === null;
    case "test":
      return true;
  }
}

export function sampleNotice(id: string, at: number): Notice {
  return { id, type: "test", at, repository: { owner: "open-inspect", name: "sample" }, build: null };
}

const escapeSlack = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** The body of an incoming webhook of Slack. */
export function slackBody({ type, repository, build, url }: Notification): { text: string } {
  const name = escapeSlack(`${repository.owner}/${repository.name}`);
  const commit = build?.sha ? ` at \`${build.sha.slice(0, 7)}\`` : "";
  switch (type) {
    case "image.failing": {
      const cause = build?.failure ? `\n${escapeSlack(build.failure.message)}\n_${escapeSlack(build.failure.hint)}_` : "";
      return { text: `:red_circle: *${name}*: the image build <${url}|failed>${commit}.${cause}` };
    }
    case "image.recovered":
      return { text: `:large_green_circle: *${name}*: images are <${url}|built again>${commit}.` };
    case "test":
      return { text: `This is a sample from <${url}|Open-Inspect>: failing image builds are told here.` };
  }
}

export type DeliveryOutcome = (typeof deliveryOutcomes)[number];

/** A refusal is final; what may pass by itself is tried again. Redirects are refusals: what they lead to was not checked. */
export function evaluateAnswer(status: number): DeliveryOutcome {
  if (status >= 200 && status < 300) return "delivered";
  return status >= 500 || status === 408 || status === 425 || status === 429 ? "failed" : "refused";
}

/**
 * Why nothing is sent to an address, or null where it may be. Judged by its form: what a name leads to is not asked (docs/decisions/0013).
 * @param isDevelopment everything runs on one machine, whose own servers are what is tried out
 */
export function refuseUrl(address: string, isDevelopment: boolean): string | null {
  if (!URL.canParse(address)) return "It is no URL.";
  const url = new URL(address);
  if (url.protocol !== "https:" && !(isDevelopment && url.protocol === "http:")) return "Only https is possible.";
  if (url.username !== "" || url.password !== "") return "It must not contain a name or password.";
  if (!isDevelopment && isPrivateHost(url.hostname)) return "It is on a private network.";
  return null;
}

const privateV4: readonly RegExp[] = [
  /^(?:0|10|127)\./,
  /^100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./,
  /^169\.254\./,
  /^172\.(?:1[6-9]|2\d|3[01])\./,
  /^192\.(?:0\.0|0\.2|168)\./,
  /^198\.(?:1[89]|51\.100)\./,
  /^203\.0\.113\./,
  /^(?:22[4-9]|2[3-5]\d)\./,
];

/** @param host as `URL` writes it: lower case, IPv4 in four decimal parts, IPv6 in brackets and shortened */
function isPrivateHost(host: string): boolean {
  const name = host.replace(/\.$/, "");
  // Of IPv6 only what is routed globally and does not hold an IPv4 address.
  if (name.startsWith("[")) return !/^\[[23][0-9a-f]{3}:/.test(name) || /^\[(?:2002:|2001:(?:0:|:|db8:))/.test(name);
  if (/^[\d.]+$/.test(name)) return privateV4.some((range) => range.test(name));
  return !name.includes(".") || /\.(?:localhost|local|internal|intranet|lan|home|corp|arpa)$/.test(name);
}

/** What of an address may be shown: Slack's is a secret as a whole, and a query often holds one. */
export function shownUrl(address: string, format: "json" | "slack"): string {
  const { origin, pathname } = new URL(address);
  return format === "slack" ? `${origin}/…` : origin + pathname;
}
