/** The OpenAPI 3.1 document of the REST API, made from the routes and the very schemas that requests are parsed with. Pure. */
import { z } from "zod";
import { type ApiRoute, apiRoutes } from "./api-routes.ts";
import * as conversation from "./conversation.ts";
import { type ErrorCode, errorBodySchema, errorStatuses } from "./errors.ts";
import * as api from "./http-api.ts";
import * as build from "./image-build.ts";
import * as insights from "./insights.ts";
import * as login from "./login.ts";
import * as notifications from "./notifications.ts";
import * as session from "./session.ts";
import * as sessionApi from "./session-api.ts";

/** JSON as it goes over the wire. */
export type JsonObject = { [key: string]: unknown };

const inPath = "#/components/schemas/";

/** `buildViewSchema` is `BuildView` in the document. */
const componentName = (exportName: string): string => {
  const name = exportName.replace(/Schema$/, "");
  return name.charAt(0).toUpperCase() + name.slice(1);
};

function namedSchemas(): [string, z.ZodType][] {
  const all: [string, unknown][] = [build, conversation, login, session, insights, notifications, api, sessionApi].flatMap(
    (module) => Object.entries(module),
  );
  const found = all
    .filter((entry): entry is [string, z.ZodType] => entry[1] instanceof z.ZodType)
    // Queries and path parameters are described one by one where they are used.
    .filter(([name]) => !/(?:Query|Params)Schema$/.test(name));
  const seen = new Set<z.ZodType>();
  // The first name of a schema counts: a request that is a known shape is that shape.
  return [["errorBodySchema", errorBodySchema] as [string, z.ZodType], ...found].filter(([, schema]) => {
    const isNew = !seen.has(schema);
    seen.add(schema);
    return isNew;
  });
}

type Io = "input" | "output";

/** A schema of the document: what is not said to be closed may get new fields. */
const toSchema = (io: Io, names: z.core.$ZodRegistry<{ id?: string }>) => ({
  io,
  metadata: names,
  uri: (id: string) => inPath + id,
  override: ({ zodSchema, jsonSchema }: { zodSchema: z.core.$ZodTypes; jsonSchema: z.core.JSONSchema.BaseSchema }) => {
    const { def } = zodSchema._zod;
    if (def.type === "object" && def.catchall === undefined) delete jsonSchema.additionalProperties;
  },
});

const isTransport = new Set(["$schema", "$id"]);
const withoutTransport = (schema: object): JsonObject =>
  Object.fromEntries(Object.entries(schema).filter(([key]) => !isTransport.has(key)));

interface Schemas {
  components: JsonObject;
  /** a reference where the schema has a name */
  of(schema: z.ZodType, io: Io): JsonObject;
}

function createSchemas(): Schemas {
  const requests = new Set(apiRoutes.flatMap((route) => (route.body ? [route.body] : [])));
  const registries = { input: z.registry<{ id?: string }>(), output: z.registry<{ id?: string }>() };
  for (const [name, schema] of namedSchemas())
    registries[requests.has(schema) ? "input" : "output"].add(schema, { id: componentName(name) });
  const components: JsonObject = {};
  for (const io of ["output", "input"] as const) {
    const { schemas } = z.toJSONSchema(registries[io], toSchema(io, registries[io]));
    for (const [name, schema] of Object.entries(schemas)) components[name] = withoutTransport(schema);
  }
  return {
    components: Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1))),
    of(schema, io) {
      const name = (registries.input.get(schema) ?? registries.output.get(schema))?.id;
      if (name !== undefined) return { $ref: inPath + name };
      const names = z.registry<{ id?: string }>();
      return withoutTransport(z.toJSONSchema(schema, { ...toSchema(io, names), metadata: names }));
    },
  };
}

/** What may go wrong on a route, the errors of every route of its kind included. */
export function errorsOf(route: ApiRoute): ErrorCode[] {
  const codes = new Set<ErrorCode>([...route.errors, "internal"]);
  if (route.caller === "person") codes.add("unauthorized").add("forbidden");
  if (route.body) codes.add("invalid_request").add("payload_too_large");
  return [...codes].sort((a, b) => errorStatuses[a] - errorStatuses[b] || (a < b ? -1 : 1));
}

function parametersOf(route: ApiRoute, schemas: Schemas): JsonObject[] {
  const list = (place: "path" | "query", known: Record<string, z.ZodType> = {}) =>
    Object.entries(known).map(([name, schema]) => ({
      name,
      in: place,
      required: place === "path" || !schema.safeParse(undefined).success,
      schema: schemas.of(schema, "input"),
    }));
  return [...list("path", route.params), ...list("query", route.query)];
}

function successOf({ answer }: ApiRoute, schemas: Schemas): JsonObject {
  switch (answer.kind) {
    case "json":
      return {
        [answer.status]: {
          description: "Done.",
          content: { "application/json": { schema: schemas.of(answer.schema, "output") } },
        },
      };
    case "text":
      return { 200: { description: "The text.", content: { [answer.contentType]: { schema: { type: "string" } } } } };
    case "file": {
      const content = Object.fromEntries(
        answer.contentTypes.map((type) => [type, { schema: { type: "string", format: "binary" } }]),
      );
      return { 200: { description: "The bytes.", content } };
    }
    case "redirect":
      return { 302: { description: "The way on.", headers: { location: { schema: { type: "string" } } } } };
    case "socket":
      return {
        101: { description: "A WebSocket; each text frame is one message.", "x-messages": schemas.of(answer.messages, "output") },
      };
    case "events": {
      const events = Object.entries(answer.events).map(([name, schema]) => [name, schemas.of(schema, "output")]);
      return {
        200: {
          description: "Server-sent events; `data` is JSON.",
          content: { "text/event-stream": { schema: { type: "string" } } },
          "x-events": Object.fromEntries(events),
        },
      };
    }
  }
}

function failuresOf(route: ApiRoute): JsonObject {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of errorsOf(route)) byStatus.set(errorStatuses[code], [...(byStatus.get(errorStatuses[code]) ?? []), code]);
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => {
      const narrowed = { properties: { error: { properties: { code: { enum: codes } } } } };
      const schema = { allOf: [{ $ref: `${inPath}ErrorBody` }, narrowed] };
      return [status, { description: codes.join(", "), content: { "application/json": { schema } } }];
    }),
  );
}

/** @param origin where the API is served, without a trailing slash */
export function createOpenApi({ origin, version }: { origin: string; version: string }): JsonObject {
  const schemas = createSchemas();
  const paths: Record<string, JsonObject> = {};
  for (const route of apiRoutes) {
    const { path, method, operationId, summary, body } = route;
    const parameters = parametersOf(route, schemas);
    const content = body && { "application/json": { schema: schemas.of(body, "input") } };
    paths[path] = {
      ...paths[path],
      [method]: {
        operationId,
        summary,
        tags: [path.split("/")[2]],
        ...(parameters.length > 0 ? { parameters } : {}),
        ...(content ? { requestBody: { required: true, content } } : {}),
        responses: { ...successOf(route, schemas), ...failuresOf(route) },
      },
    };
  }
  return {
    openapi: "3.1.1",
    info: {
      title: "Open-Inspect",
      version,
      description:
        "Pre-built images of repositories and sessions that start from them. Times are milliseconds since the epoch. Objects may get new fields.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: origin }],
    paths,
    components: { schemas: schemas.components },
  };
}

/** The methods that each path knows, as patterns over whole paths. */
export function methodsByPath(): [RegExp, string[]][] {
  const methods = new Map<string, string[]>();
  for (const { path, method } of apiRoutes) methods.set(path, [...(methods.get(path) ?? []), method.toUpperCase()]);
  return [...methods].map(([path, known]) => [
    new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "[^/]+")}/?$`),
    known,
  ]);
}
