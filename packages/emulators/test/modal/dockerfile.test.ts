import { describe, expect, it } from "vitest";
import { DockerfileError, expandVariables, parseDockerfile } from "../../src/modal/dockerfile.ts";

const steps = (...lines: string[]) => parseDockerfile(["FROM base", ...lines]).steps.map(({ text: _text, ...step }) => step);

describe("a Dockerfile", () => {
  it("joins continued lines and drops comments and blank lines", () => {
    expect(steps("RUN a && \\\n# why\n  b", "", "# done", "RUN c")).toEqual([
      { kind: "run", argv: ["/bin/sh", "-c", "a &&   b"] },
      { kind: "run", argv: ["/bin/sh", "-c", "c"] },
    ]);
  });

  it("runs the exec form without a shell", () => {
    expect(steps('RUN ["node", "-e", "1 + 1"]')).toEqual([{ kind: "run", argv: ["node", "-e", "1 + 1"] }]);
    expect(steps("RUN [ -f x ]")).toEqual([{ kind: "run", argv: ["/bin/sh", "-c", "[ -f x ]"] }]);
  });

  it("reads both forms of ENV", () => {
    const entries = (line: string) => steps(line).flatMap((step) => (step.kind === "env" ? step.entries : []));
    expect(entries("ENV A=1 B=\"two words\" C='$literal' D=a\\ b E=")).toEqual([
      ["A", "1"],
      ["B", "two words"],
      ["C", "\\$literal"],
      ["D", "a b"],
      ["E", ""],
    ]);
    expect(entries("ENV OLD all of it = one value")).toEqual([["OLD", "all of it = one value"]]);
  });

  it.each(["", "RUN x", "FROM a AS b", "FROM --platform=x y"])("is refused when it begins with '%s'", (line) => {
    expect(() => parseDockerfile([line])).toThrow(DockerfileError);
  });

  it.each(["ENV", "ENV =x", "WORKDIR", "RUN", "RUN <<EOF", "VOLUME /x", "HEALTHCHECK NONE", "FROM another"])(
    "is refused for '%s'",
    (line) => {
      expect(() => steps(line)).toThrow(DockerfileError);
    },
  );
});

describe("variables", () => {
  it.each([
    ["$A/$A", "a/a"],
    ["$" + "{A}b", "ab"],
    ["$AB", ""],
    ["$" + "{NONE:-or}", "or"],
    ["$" + "{A:-or}", "a"],
    ["$" + "{A:+set}", "set"],
    ["$" + "{NONE:+set}", ""],
    ["\\$A", "$A"],
    ["5 $", "5 $"],
  ])("expand %s to '%s'", (template, expected) => {
    expect(expandVariables(template, { A: "a" })).toBe(expected);
  });
});
