import { describe, expect, it } from "vitest";
import { findFloorBreaches } from "../floors.ts";

const file = (path: string, text: string) => ({ path, text });

describe("floors", () => {
  it("lets entrypoints import adapters, adapters domain, domain protocol", () => {
    const files = [
      file("packages/control-plane/src/worker.ts", 'import { a } from "./adapters/a.ts";'),
      file("packages/control-plane/src/adapters/a.ts", 'import { d } from "../domain/d.ts";'),
      file("packages/control-plane/src/domain/d.ts", 'import { z } from "@open-inspect/protocol";'),
    ];
    expect(findFloorBreaches(files)).toEqual([]);
  });

  it.each([
    ["packages/control-plane/src/domain/d.ts", 'import { a } from "../adapters/a.ts";', "imports upwards"],
    ["packages/control-plane/src/adapters/a.ts", 'import { o } from "../objects/o.ts";', "imports upwards"],
    ["packages/control-plane/src/domain/d.ts", "export const now = () => Date.now();", "must stay pure"],
    ["packages/control-plane/src/domain/d.ts", 'import { readFile } from "node:fs";', "must stay pure"],
    ["packages/web/src/lib/x.ts", 'import { s } from "@open-inspect/control-plane";', "may not import"],
    ["packages/web/src/ui/x.tsx", 'import { f } from "../features/f.tsx";', "imports upwards"],
    ["packages/emulators/src/modal/m.ts", 'import { f } from "../../../web/src/f.ts";', "another package"],
  ])("refuses %s: %s", (path, text, reason) => {
    expect(findFloorBreaches([file(path, text)]).join()).toContain(reason);
  });

  it("names a cycle", () => {
    const files = [
      file("packages/emulators/src/a.ts", 'import { b } from "./b.ts";'),
      file("packages/emulators/src/b.ts", 'export { a } from "./a.ts";'),
    ];
    expect(findFloorBreaches(files)).toEqual([expect.stringContaining("cycle: packages/emulators/src/a.ts")]);
  });

  it("does not count imports of types alone as part of a cycle", () => {
    const files = [
      file("packages/emulators/src/a.ts", 'import { type B } from "./b.ts";'),
      file("packages/emulators/src/b.ts", 'import { a } from "./a.ts";'),
    ];
    expect(findFloorBreaches(files)).toEqual([]);
  });

  it("does not take comments for code", () => {
    expect(
      findFloorBreaches([file("packages/control-plane/src/domain/d.ts", "/** never calls Date.now */\nexport const d = 1;")]),
    ).toEqual([]);
  });
});
