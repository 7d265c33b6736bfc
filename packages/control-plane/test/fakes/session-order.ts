/** A session as tests ask for it; what matters is given by the test. */
import { type SessionOrder } from "../../src/domain/session-state.ts";

export const sessionOrder = (more: Partial<SessionOrder> = {}): SessionOrder => ({
  id: "ses_1",
  repository: { owner: "acme", name: "shop", cloneUrl: "http://github.test/a", installationId: 1 },
  branch: "main",
  isDefaultBranch: true,
  model: null,
  models: ["a-model"],
  title: "t",
  author: null,
  parentId: null,
  reserved: null,
  acceptedAt: 0,
  image: null,
  cold: "images_disabled",
  history: { measured: null, build: null },
  attempts: ["one", "two"],
  startLimitMs: 600_000,
  idleStopMs: 600_000,
  ...more,
});
