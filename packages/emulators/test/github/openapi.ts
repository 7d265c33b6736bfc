/** Checks answers against GitHub's own OpenAPI description. Knows the description, nothing of the emulator. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Ajv, type ValidateFunction } from "ajv";
import formats from "ajv-formats";
import { z } from "zod";

interface Description {
  paths: Record<string, Record<string, unknown>>;
  components: Record<string, Record<string, unknown>>;
  "x-webhooks": Record<string, unknown>;
}
const path = createRequire(import.meta.url).resolve("@octokit/openapi/generated/api.github.com.json");
// Twelve megabytes of a pinned package: their outer shape is taken on trust.
const document: Description = JSON.parse(readFileSync(path, "utf8"));

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** OpenAPI 3.0 says `nullable`, JSON Schema says it with types; `example` and its like are no keywords. */
function toJsonSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(toJsonSchema);
  if (!isObject(schema)) return schema;
  const { nullable, example: _example, examples: _examples, discriminator: _discriminator, ...rest } = schema;
  const converted: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(rest)) {
    if (key === "enum" || key === "default" || key === "const") converted[key] = value;
    else if (key === "properties" && isObject(value)) {
      converted[key] = Object.fromEntries(Object.entries(value).map(([name, child]) => [name, toJsonSchema(child)]));
    } else converted[key] = toJsonSchema(value);
  }
  return nullable === true ? { anyOf: [converted, { type: "null" }] } : converted;
}

// Each component is compiled once, as a function of its own, whatever refers to it; code that runs a few times is not worth optimizing.
const options = { strict: false, allErrors: true, validateFormats: true, inlineRefs: false, code: { optimize: false } };
const ajv = new Ajv(options);
formats.default(ajv);
ajv.addFormat("uri-template", true);
ajv.addFormat("repo.nwo", true);
const defined = new Set<string>();
/** The name by which a schema finds this component, which is made known with all that it refers to. */
function define(name: string): string {
  const id = `https://api.github.com/components/${name}`;
  if (!defined.has(name)) {
    defined.add(name);
    ajv.addSchema({ allOf: [localize(toJsonSchema(document.components.schemas?.[name]))] }, id);
  }
  return id;
}
/** The converted schema, its references turned to names of components. */
function localize(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(localize);
  if (!isObject(schema)) return schema;
  if (typeof schema.$ref === "string") return { $ref: define(schema.$ref.replace("#/components/schemas/", "")) };
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, localize(value)]));
}
const compiled = new Map<string, ValidateFunction>();
function check(key: string, schema: unknown, body: unknown): void {
  let validate = compiled.get(key);
  if (validate === undefined) {
    validate = ajv.compile({ allOf: [localize(toJsonSchema(schema))] });
    compiled.set(key, validate);
  }
  if (!validate(body)) throw new Error(`${key}: ${ajv.errorsText(validate.errors, { separator: "\n" })}`);
}

/** The most literal template whose segments fit; the last parameter may hold slashes. */
function templateOf(pathname: string): string | null {
  const segments = pathname.split("/");
  const fits = (template: string) => {
    const parts = template.split("/");
    if (segments.length < parts.length) return false;
    return segments.every((segment, index) => {
      const part = parts[index];
      if (part === undefined) return parts.at(-1)?.startsWith("{") === true;
      return part.startsWith("{") || part === segment;
    });
  };
  const literals = (template: string) => template.split("/").filter((part) => !part.startsWith("{")).length;
  const found = Object.keys(document.paths).filter(fits);
  return found.sort((a, b) => literals(b) - literals(a) || b.split("/").length - a.split("/").length)[0] ?? null;
}

const deref = (value: unknown): unknown => {
  if (!isObject(value) || typeof value.$ref !== "string") return value;
  const [, , kind = "", name = ""] = value.$ref.split("/");
  return document.components[kind]?.[name];
};
const at = (value: unknown, ...keys: string[]): unknown =>
  keys.reduce<unknown>((found, key) => (isObject(found) ? deref(found[key]) : undefined), value);

/**
 * Where the description contradicts itself: the list's account must be a person and an enterprise at once (`allOf`), which no
 * answer of GitHub's is; the single installation says the same properly.
 */
const corrections: Record<string, unknown> = {
  "GET /app/installations 200": { type: "array", items: { $ref: "#/components/schemas/installation" } },
};

/** Throws unless the answer is what the description says for this path, method and status. Returns the path's template. */
export function validateAnswer(method: string, pathname: string, status: number, contentType: string, body: unknown): string {
  const template = templateOf(pathname);
  if (template === null) throw new Error(`${pathname} is not a path of the description`);
  const name = `${method} ${template} ${status}`;
  const responses = at(document.paths[template], method.toLowerCase(), "responses");
  if (!isObject(responses)) throw new Error(`${name}: the description has no such method`);
  const described = deref(responses[String(status)]);
  if (described === undefined) {
    // The description leaves out most of the errors that every path can answer with.
    // Every GET knows conditional requests, though only some descriptions say so.
    if (status < 400 && status !== 304) throw new Error(`${name}: the description has no such status`);
  }
  if (status >= 400) {
    const error = z.object({ message: z.string().min(1), documentation_url: z.url() });
    if (!error.safeParse(body).success) throw new Error(`${name}: ${JSON.stringify(body)} is not GitHub's error`);
  }
  if (status === 204 || status === 304) return name;
  if (!contentType.startsWith("application/json")) return name;
  const schema = corrections[name] ?? at(described, "content", "application/json", "schema");
  if (schema !== undefined) check(name, schema, body);
  return name;
}

/** Throws unless this is the payload of that webhook event. */
export function validateWebhook(event: string, body: unknown): void {
  const schema = at(document["x-webhooks"][event], "post", "requestBody", "content", "application/json");
  if (!isObject(schema)) throw new Error(`the description has no webhook ${event}`);
  check(`webhook ${event}`, schema.schema, body);
}

/** A fetch that validates every REST answer below `baseUrl`, and remembers which operations were seen. */
export function createValidatingFetch(baseUrl: string): { fetch: typeof fetch; seen: Set<string> } {
  const seen = new Set<string>();
  const validating: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const url = new URL(input instanceof Request ? input.url : input);
    const method = init?.method ?? (input instanceof Request ? input.method : "GET");
    if (url.origin === new URL(baseUrl).origin && url.pathname !== "/graphql") {
      const type = response.headers.get("content-type") ?? "";
      const text = await response.clone().text();
      const body: unknown = type.startsWith("application/json") ? JSON.parse(text) : text;
      seen.add(validateAnswer(method, decodeURI(url.pathname), response.status, type, body));
    }
    return response;
  };
  return { fetch: validating, seen };
}
