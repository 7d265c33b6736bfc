/** Every wire message, id and error code of Open-Inspect. Depends on zod only. */
export * from "./api-routes.ts";
export * from "./bridge.ts";
export * from "./conversation.ts";
export * from "./errors.ts";
export * from "./gateway.ts";
export * from "./github-events.ts";
export * from "./http-api.ts";
export * from "./ids.ts";
export * from "./image-build.ts";
export * from "./image-scope.ts";
export * from "./insights.ts";
export * from "./notifications.ts";
export * from "./openapi.ts";
export * from "./runtime-config.ts";
export * from "./session.ts";
export * from "./session-api.ts";
export * from "./session-reducer.ts";
