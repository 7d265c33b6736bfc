/** The OpenAPI document: valid by the specification's own schema, whole, and as strict as the parsers. */
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { expect, it } from "vitest";
import { type z } from "zod";
import {
  activateImageRequestSchema,
  apiRoutes,
  createOpenApi,
  createSessionRequestSchema,
  errorBodySchema,
  errorStatuses,
  imageSettingsSchema,
  logEntrySchema,
  methodsByPath,
  putNotificationTargetSchema,
} from "../src/index.ts";

const document = createOpenApi({ origin: "https://open-inspect.example", version: "1.2.3" });
const text = JSON.stringify(document);

/** The value that a reference points at. */
const follow = (reference: string): unknown =>
  reference
    .slice(2)
    .split("/")
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], document);

it("the document is valid OpenAPI 3.1", async () => {
  const result = await new Validator().validate(JSON.parse(text));
  expect(result.errors ?? []).toEqual([]);
  expect(result.valid).toBe(true);
  expect(document.openapi).toMatch(/^3\.1\./);
});

it("every reference leads to a schema, and operation ids are unique", () => {
  const references = new Set([...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference = ""]) => reference));
  expect(references.size).toBeGreaterThan(10);
  expect([...references].filter((reference) => follow(reference) === undefined)).toEqual([]);
  expect(new Set(apiRoutes.map((route) => route.operationId)).size).toBe(apiRoutes.length);
  expect(text).not.toContain('"$id"');
});

it("each path's parameters are described, and nothing else", () => {
  for (const { path, params = {} } of apiRoutes) {
    expect(
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      path,
    ).toEqual(Object.keys(params));
  }
});

it("requests are closed where the parser is, answers stay open for new fields", () => {
  expect(follow("#/components/schemas/PutImageRequest")).toMatchObject({ additionalProperties: false, required: ["enabled"] });
  expect(follow("#/components/schemas/ActivateImageRequest")).toMatchObject({ required: ["reason"] });
  expect(follow("#/components/schemas/BuildView")).not.toHaveProperty("additionalProperties");
});

it("each error stands under the status that it is sent with", () => {
  const cancel = (document.paths as Record<string, unknown>)["/api/builds/{id}/cancel"];
  const { responses } = (cancel as { post: { responses: Record<string, { description: string }> } }).post;
  expect(responses["404"]?.description).toBe("build_not_found");
  expect(responses["409"]?.description).toBe("build_ended");
  expect(responses["401"]?.description).toBe("unauthorized");
  for (const [status, { description }] of Object.entries(responses).filter(([known]) => Number(known) >= 400))
    for (const code of description.split(", ")) expect(errorStatuses).toHaveProperty(code, Number(status));
});

it("methods are known by whole paths", () => {
  const methodsOf = (path: string) => methodsByPath().find(([pattern]) => pattern.test(path))?.[1];
  expect(methodsOf("/api/repositories/acme/shop/image/")).toEqual(["GET", "PUT"]);
  expect(methodsOf("/api/builds/bld_1/logs")).toEqual(["GET"]);
  expect(methodsOf("/api/openapi.json")).toEqual(["GET"]);
  expect(methodsOf("/api/openapi-json")).toBeUndefined();
  expect(methodsOf("/api/builds/bld_1/nothing")).toBeUndefined();
});

/** Validates by the document alone, as a client of another language would. */
function createClient() {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats(ajv);
  ajv.addSchema(document, "document");
  return (name: string) => {
    const validate = ajv.getSchema(`document#/components/schemas/${name}`);
    if (!validate) throw new Error(`no schema ${name}`);
    return (value: unknown): boolean => validate(value) === true;
  };
}

it("every component is a JSON schema that compiles", () => {
  const client = createClient();
  const { schemas } = document.components as { schemas: object };
  expect(Object.keys(schemas).length).toBeGreaterThan(25);
  for (const name of Object.keys(schemas)) expect(client(name), name).toBeTypeOf("function");
});

it("the document takes and refuses what the parsers do", () => {
  const client = createClient();
  const samples: [string, z.ZodType, unknown[]][] = [
    [
      "CreateSessionRequest",
      createSessionRequestSchema,
      [
        { repository: "acme/shop" },
        { repository: { owner: "acme", name: "shop" }, branch: "main", prompt: "go" },
        { repository: "shop" },
        { repository: "acme/shop", colour: "red" },
        { prompt: "go" },
      ],
    ],
    [
      "ActivateImageRequest",
      activateImageRequestSchema,
      [
        { reason: "r" },
        { reason: "r", until: null },
        { reason: "r", until: 1 },
        { reason: "" },
        { reason: "r", until: "soon" },
        {},
      ],
    ],
    [
      "ImageSettings",
      imageSettingsSchema,
      [
        { limitMinutes: 30, keptImages: 3, rebuildMode: "auto" },
        { limitMinutes: 61, keptImages: 3, rebuildMode: "auto" },
        { limitMinutes: 30.5, keptImages: 3, rebuildMode: "auto" },
        { limitMinutes: 30, keptImages: 3, rebuildMode: "never" },
      ],
    ],
    [
      "PutNotificationTarget",
      putNotificationTargetSchema,
      [
        { format: "slack", url: "https://hooks.slack.com/x" },
        { format: "json", url: "https://a.example/", secret: "short" },
        { format: "smoke", url: "https://a.example/" },
        { format: "json", url: "no url" },
      ],
    ],
    [
      "ErrorBody",
      errorBodySchema,
      [
        { error: { code: "conflict", message: "m", hint: "h" } },
        { error: { code: "nonsense", message: "m", hint: "h" } },
        { error: {} },
      ],
    ],
    [
      "LogEntry",
      logEntrySchema,
      [
        { seq: 1, at: 1, phase: "setup", stream: "stdout", text: "x" },
        { seq: -1, at: 1, phase: "setup", stream: "stdout", text: "x" },
        { seq: 1, at: 1, phase: "lunch", stream: "stdout", text: "x" },
      ],
    ],
  ];
  for (const [name, schema, values] of samples) {
    const takes = client(name);
    const taken = values.map((value) => schema.safeParse(value).success);
    expect(values.map(takes), name).toEqual(taken);
    expect(new Set(taken).size, `${name} has samples of both kinds`).toBe(2);
  }
});
