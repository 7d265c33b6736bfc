/** Who may call: checks the SDK's headers before any handler. Knows nothing of what the methods do. */
import { type CallContext, type ServerMiddleware, Status } from "nice-grpc";
import { fail } from "./rpc.ts";
import { type Tokens } from "./tokens.ts";

export interface Credentials {
  tokenId: string;
  tokenSecret: string;
}

export interface Access {
  /** for the control plane: the token pair, and on all but AuthTokenGet the JWT that it gave */
  control: ServerMiddleware;
  /** for the router: a bearer JWT */
  router: ServerMiddleware;
  /** Fails with PERMISSION_DENIED unless the caller's JWT is for this task. */
  requireTask(context: CallContext, taskId: string): void;
  issueAuthToken(context: CallContext): string;
  issueRouterToken(taskId: string): string;
}

/** `credentials: null` takes any pair that is not empty. */
export function createAccess(tokens: Tokens, credentials: Credentials | null, now: () => number): Access {
  function requirePair(context: CallContext): void {
    const id = context.metadata.get("x-modal-token-id");
    const secret = context.metadata.get("x-modal-token-secret");
    if (!id || !secret)
      fail(Status.UNAUTHENTICATED, "The token id or secret is missing. Set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET.");
    if (credentials && (credentials.tokenId !== id || credentials.tokenSecret !== secret)) {
      fail(Status.UNAUTHENTICATED, "The token id or secret is wrong.");
    }
  }
  const routerClaims = (context: CallContext) => {
    const bearer = /^Bearer (.+)$/.exec(context.metadata.get("authorization") ?? "")?.[1];
    const claims = bearer === undefined ? null : tokens.verify(bearer, now());
    return claims?.aud === "router" ? claims : fail(Status.UNAUTHENTICATED, "The router's token is missing or no longer valid.");
  };
  return {
    control: async function* (call, context) {
      requirePair(context);
      if (!call.method.path.endsWith("/AuthTokenGet")) {
        const claims = tokens.verify(context.metadata.get("x-modal-auth-token") ?? "", now());
        if (claims?.aud !== "control") fail(Status.UNAUTHENTICATED, "x-modal-auth-token is missing or no longer valid.");
      }
      return yield* call.next(call.request, context);
    },
    router: async function* (call, context) {
      routerClaims(context);
      return yield* call.next(call.request, context);
    },
    requireTask: (context, taskId) => {
      if (routerClaims(context).sub !== taskId) fail(Status.PERMISSION_DENIED, "The router's token is for another sandbox.");
    },
    issueAuthToken: (context) => tokens.issue({ aud: "control", sub: context.metadata.get("x-modal-token-id") ?? "" }, now()),
    issueRouterToken: (taskId) => tokens.issue({ aud: "router", sub: taskId }, now()),
  };
}
