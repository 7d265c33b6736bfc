/** The HTTP side door for tests and people: faults, killing sandboxes, what there is. No Modal client knows of it. */
import { Hono } from "hono";
import { z } from "zod";
import { type EngineDescription } from "./engine/engine.ts";
import { type Faults, faultSchema } from "./faults.ts";
import { type Images } from "./images.ts";
import { endings } from "./sandbox.ts";
import { type Sandboxes } from "./sandboxes.ts";
import { type TunnelCertificate } from "./tunnel-certificate.ts";

const killSchema = z.object({ reason: z.enum(["terminated", "timeout", "oom", "died"]).default("died") });
const loopbackHosts = new Set(["127.0.0.1", "localhost"]);

export interface AdminDeps {
  faults: Faults;
  images: Images;
  sandboxes: Sandboxes;
  certificate: Pick<TunnelCertificate, "cert" | "file" | "fingerprint256">;
  describe: () => EngineDescription;
}

const refuse = (code: string, message: string, hint: string) => ({ error: { code, message, hint } });

export function createAdminApp({ faults, images, sandboxes, certificate, describe }: AdminDeps): Hono {
  const app = new Hono();
  // a page in the developer's browser must not get here through a name that resolves to 127.0.0.1
  app.use(async (context, next) => {
    if (!loopbackHosts.has(new URL(context.req.url).hostname)) {
      return context.json(refuse("forbidden", "This host name is not served.", "Use 127.0.0.1."), 403);
    }
    return next();
  });

  app.get("/health", (context) => context.json(describe()));
  app.get("/faults", (context) => context.json({ faults: faults.list() }));
  app.post("/faults", async (context) => {
    const fault = faultSchema.safeParse(await context.req.json().catch(() => null));
    if (!fault.success) return context.json(refuse("invalid_request", z.prettifyError(fault.error), "See faultSchema."), 400);
    faults.add(fault.data);
    return context.json({ faults: faults.list() }, 201);
  });
  app.delete("/faults", (context) => {
    faults.clear();
    return context.body(null, 204);
  });

  app.get("/sandboxes", (context) => {
    const all = sandboxes.list({ appIds: null, tags: {}, before: 0, includeEnded: true });
    return context.json({
      sandboxes: all.map(({ spec, tags, state }) => ({
        id: spec.id,
        name: spec.name,
        tags,
        imageId: spec.image.id,
        createdAt: spec.createdAt * 1000,
        ...(state.status === "running" ? { status: state.status } : { status: state.status, result: state.result }),
      })),
    });
  });
  app.post("/sandboxes/:id/kill", async (context) => {
    const request = killSchema.safeParse(await context.req.json().catch(() => ({})));
    if (!request.success) return context.json(refuse("invalid_request", z.prettifyError(request.error), "See killSchema."), 400);
    const all = sandboxes.list({ appIds: null, tags: {}, before: 0, includeEnded: true });
    const sandbox = all.find(({ spec }) => spec.id === context.req.param("id"));
    if (!sandbox) return context.json(refuse("not_found", "There is no such sandbox.", "GET /sandboxes lists them."), 404);
    await sandbox.end(endings[request.data.reason]);
    return context.body(null, 204);
  });

  app.get("/tunnel-ca", (context) => {
    const { cert, file, fingerprint256 } = certificate;
    return context.json({ pem: cert, file, fingerprint256 });
  });
  app.get("/images", (context) => context.json({ images: images.list() }));
  return app;
}
