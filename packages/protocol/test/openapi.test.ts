/** The OpenAPI document: valid by the specification's own schema, whole, and as strict as the parsers. */
import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, it } from "vitest";
import { apiRoutes, createOpenApi, errorStatuses, methodsByPath } from "../src/index.ts";

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
