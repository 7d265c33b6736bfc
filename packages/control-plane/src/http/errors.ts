/** Errors of the REST API: one class to throw, one exhaustive map to status, one body. Knows no routes. */
import { type ErrorBody, type ErrorCode, errorStatuses } from "@open-inspect/protocol";
import { type Context, type ErrorHandler, type NotFoundHandler } from "hono";
import { createLog } from "../adapters/log.ts";
import { type GitHubFailure } from "../domain/ports.ts";
import { ConfigurationError } from "../env.ts";

/** An expected refusal: a code of the protocol, one sentence, and what to do. */
export class ApiError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

export function answerError(c: Context, error: ApiError): Response {
  const { code, message, hint } = error;
  return c.json({ error: { code, message, hint } } satisfies ErrorBody, errorStatuses[code]);
}

const log = createLog({ part: "http" });

export const onError: ErrorHandler = (error, c) => {
  if (error instanceof ApiError) return answerError(c, error);
  log.error("request.failed", { method: c.req.method, path: c.req.path, error });
  if (error instanceof ConfigurationError) {
    return answerError(c, new ApiError("internal", error.message, "docs/deploy.md says where each one is set."));
  }
  return answerError(
    c,
    new ApiError("internal", "Something went wrong in the control plane.", "Try again; if it stays, look at the Worker's log."),
  );
};

export const onNotFound: NotFoundHandler = (c) =>
  answerError(c, new ApiError("not_found", `There is nothing at ${c.req.path}.`, "docs/api.md lists the paths."));

export const repositoryNotFound = (owner: string, name: string): ApiError =>
  new ApiError(
    "repository_not_found",
    `The repository ${owner}/${name} is not known.`,
    "Check the spelling, and that the GitHub App is installed on it.",
  );

export function gitHubUnavailable(failure: GitHubFailure): ApiError {
  const hint = failure.kind === "rate_limited" ? "GitHub's rate limit is used up; wait a while." : "Try again in a moment.";
  return new ApiError("github_unavailable", `GitHub did not answer as expected: ${failure.message}`, hint);
}
